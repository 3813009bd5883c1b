package guardian

import (
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/route"
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
			g.Log.Info("routing rules were changed; ours are put back, and what others lead to a wire is refused there")
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
		if v.Injected(route.Route{Dst: r.Dst, Dev: r.Oif, Type: r.Type, Protocol: r.Protocol}) {
			via := "none"
			if r.Gateway.IsValid() {
				via = r.Gateway.String()
			}
			g.Log.Warn("a route leads to a wire; what it attracts is steered into the tunnel or refused, not leaked",
				"to", r.Dst.String(), "by", v.Named[r.Oif].Name, "gateway", via, "protocol", r.Protocol)
		}
	}
	return links
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
