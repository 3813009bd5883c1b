package guardian

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/link"
)

// routing reports routes that lead users' traffic to a wire. They cannot leak:
// what they attract is refused. It reports whether links may have changed.
func (g *Guardian) routing(list []link.Event) (links bool) {
	var routes []link.Route
	for _, e := range list {
		switch e.Kind {
		case link.Changed, link.Lost:
			links = true
		case link.RouteAdded:
			routes = append(routes, e.Route)
		case link.RuleChanged:
			g.Log.Info("routing rules were changed; what they lead to a wire is refused there")
		case link.RouteRemoved:
		}
	}
	if len(routes) == 0 {
		return links
	}
	v := g.Guard.View()
	if !v.Enforced {
		return links
	}
	for _, r := range routes {
		if injected(r, v) {
			via := "none"
			if r.Gateway.IsValid() {
				via = r.Gateway.String()
			}
			g.Log.Warn("a route leads to a wire; what it attracts is refused, not leaked",
				"to", r.Dst.String(), "by", v.Wires[r.Oif].Name, "gateway", via, "protocol", r.Protocol)
		}
	}
	return links
}

// injected reports whether a route by a wire attracts what belongs in a tunnel:
// neither a default route, nor the wire's own network, nor the way to a server.
func injected(r link.Route, v guard.View) bool {
	w, known := v.Wires[r.Oif]
	if !known || r.Type != unix.RTN_UNICAST || r.Protocol == unix.RTPROT_KERNEL || r.Dst.Bits() == 0 {
		return false
	}
	if a := r.Dst.Addr(); a.IsMulticast() || a.IsLinkLocalUnicast() {
		return false
	}
	if slices.ContainsFunc(w.OnLink, func(p netip.Prefix) bool { return p.Bits() <= r.Dst.Bits() && p.Contains(r.Dst.Addr()) }) {
		return false // its neighbours
	}
	return !r.Dst.IsSingleIP() || !slices.ContainsFunc(v.Servers, func(a netip.Addr) bool { return a == r.Dst.Addr() })
}

// interfaces are those whose sysctls count.
func (g *Guardian) interfaces() []string {
	list, err := g.Guard.Links.List()
	if err != nil {
		g.Log.Warn("list interfaces", "error", err)
	}
	var names []string
	for _, l := range list {
		names = append(names, l.Name)
	}
	return names
}
