package survey

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// What a resolver's socket means. A name asked there is asked by the resolver,
// in its own name and by its own configuration.
var resolverSockets = map[string]struct{ program, do string }{
	"/run/systemd/resolve/io.systemd.Resolve": {"systemd-resolved",
		"nothing while a session has resolvers: `vpnguard up` gives them to it for the tunnel device and makes them its default; a client that tells none needs --dns ADDR"},
	"/run/nscd/socket": {"nscd",
		"stop it, or empty its cache when the tunnel comes up (`nscd -i hosts`)"},
	"/run/avahi-daemon/socket": {"avahi",
		"nothing for a full seal, which stops multicast DNS on the wire; in the split profile add the wires to deny-interfaces of /etc/avahi/avahi-daemon.conf"},
}

// resolvers: names are asked for by whoever answers, whatever the routes of the
// program that asks.
func resolvers(h Host) []Finding {
	var all []Finding
	for _, s := range h.Files.Sockets {
		r := resolverSockets[s]
		over := s
		if r.program == "systemd-resolved" {
			over += " and the system bus"
		}
		all = append(all, Finding{"resolver-socket", Leaks,
			fmt.Sprintf("%s answers over %s, which no rule and no network namespace closes: it asks in its own name, and in the split profile in clear; cached answers come from before the seal", r.program, over), r.do})
	}
	all = append(all, listeners(h)...)
	all = append(all, resolvConf(h)...)
	for _, source := range h.Files.Hosts {
		if source == "resolve" {
			all = append(all, Finding{"nsswitch-resolve", Note,
				"/etc/nsswitch.conf asks systemd-resolved for host names (resolve): resolvers that a client writes to /etc/resolv.conf are asked by few programs",
				"set the session's resolvers by `resolvectl`, or take resolve out of the hosts line"})
		}
		if strings.HasPrefix(source, "mdns") {
			all = append(all, Finding{"nsswitch-mdns", Note,
				fmt.Sprintf("/etc/nsswitch.conf asks %s for host names: names in .local are asked of the LAN, which a full seal refuses", source),
				fmt.Sprintf("nothing, or take %s out of the hosts line to spare programs the wait", source)})
		}
	}
	return all
}

func listeners(h Host) []Finding {
	var all []Finding
	seen := map[string]bool{}
	for _, l := range h.Listeners {
		if !l.Addr.IsLoopback() && !l.Addr.IsUnspecified() || stub(h, l) {
			continue
		}
		program := l.Program
		if program == "" {
			program = fmt.Sprintf("a program of uid %d", l.UID)
		}
		key := program + l.Addr.String()
		if seen[key] { // udp and tcp are one resolver
			continue
		}
		seen[key] = true
		all = append(all, Finding{"resolver-listener", Leaks,
			fmt.Sprintf("%s answers names at %s: loopback is not sealed, so what it asks is asked in its own name, and in the split profile in clear", program, netip.AddrPortFrom(l.Addr, 53)),
			"let it forward to the session's resolvers while the tunnel is up"})
	}
	return all
}

// stub reports whether a listener is systemd-resolved's own, which its socket
// has told of.
func stub(h Host, l Listener) bool {
	return slices.ContainsFunc(h.Files.Sockets, func(s string) bool { return resolverSockets[s].program == "systemd-resolved" }) &&
		(l.Addr == netip.AddrFrom4([4]byte{127, 0, 0, 53}) || l.Addr == netip.AddrFrom4([4]byte{127, 0, 0, 54}))
}

// Files that systemd-resolved writes, and what each means.
var resolvedModes = map[string]string{
	"stub-resolv.conf": "its stub",
	"resolv.conf":      "the resolvers that it knows",
}

func resolvConf(h Host) []Finding {
	r := h.Files.Resolv
	if !r.Exists {
		return nil
	}
	var all []Finding
	kind := "a file"
	if r.Target != "" {
		kind = "a link to " + r.Target
		dir, base := cutLast(r.Target)
		if mode := resolvedModes[base]; mode != "" && strings.HasSuffix(dir, "systemd/resolve") {
			kind += " (systemd-resolved: " + mode + ")"
			all = append(all, Finding{"resolv-link", Note,
				fmt.Sprintf("/etc/resolv.conf is %s: a client that writes the file changes what systemd-resolved keeps, or takes the file away from it", kind),
				"use a client or a script that tells systemd-resolved (`resolvectl dns TUNNEL ADDR`)"})
		}
	}
	var lan []string
	for _, a := range r.Servers {
		if inLAN(h, a) {
			lan = append(lan, a.String())
		}
	}
	if len(lan) > 0 {
		all = append(all, Finding{"resolv-lan", Blocks,
			fmt.Sprintf("/etc/resolv.conf, %s, names resolvers in the LAN (%s): behind a full seal they are refused and no name resolves, with the tunnel either", kind, strings.Join(lan, ", ")),
			"nothing if the client tells the session's resolvers, which `vpnguard up` sets; else --dns ADDR"})
	}
	return all
}

// inLAN tells whether a wire leads to the address without a router. While no
// session is recorded, a private address can be nowhere else.
func inLAN(h Host, a netip.Addr) bool {
	for _, l := range h.Links {
		if l.Loopback || vpnKinds[l.Kind] || slices.Contains(h.Tunnels, l.Name) {
			continue
		}
		if slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Masked().Contains(a.WithZone("")) }) {
			return true
		}
	}
	return len(h.Tunnels) == 0 && (a.IsPrivate() || a.IsLinkLocalUnicast())
}

func cutLast(path string) (dir, base string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}
