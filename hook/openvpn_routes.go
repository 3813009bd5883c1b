package hook

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
)

// readRoutes takes the routes into the tunnel. The host route that keeps the
// peer reachable, and routes by the gateway of the time before, do not lead
// there.
func readRoutes(r *reader, peer netip.Addr) []netip.Prefix {
	var list []netip.Prefix
	keep := func(p netip.Prefix, name string) {
		if !(p.IsSingleIP() && p.Addr() == peer) {
			list = put(r, list, p, maxRoutes, name)
		}
	}
	for _, n := range r.env.numbers("route_network_") {
		name, i := "route_network_"+strconv.Itoa(n), strconv.Itoa(n)
		addr, okAddr := read(r, name, parseNetwork4)
		bits, okBits := need(r, "route_netmask_"+i, name, parseMask)
		if okAddr && okBits && !r.outside("route_gateway_"+i, "route_net_gateway", "route_vpn_gateway") {
			// A route is to the network, whatever host bits are given.
			keep(netip.PrefixFrom(addr, bits).Masked(), name)
		}
	}
	for _, n := range r.env.numbers("route_ipv6_network_") {
		name, i := "route_ipv6_network_"+strconv.Itoa(n), strconv.Itoa(n)
		p, ok := read(r, name, parsePrefix6)
		if ok && !r.outside("route_ipv6_gateway_"+i, "net_gateway_ipv6", "ifconfig_ipv6_remote") {
			keep(p, name)
		}
	}
	return list
}

// outside reports whether a route goes by the old default gateway. Both
// networks may number their gateways alike; then it counts as the tunnel's.
func (r *reader) outside(gateway, old, tunnel string) bool {
	g, err := netip.ParseAddr(r.env[gateway])
	if err != nil {
		return false
	}
	o, errOld := netip.ParseAddr(r.env[old])
	t, _ := netip.ParseAddr(r.env[tunnel])
	return errOld == nil && g == o && g != t
}

// readRedirect takes redirect_gateway, which OpenVPN 2.6 sets from `route-up`
// on. A server can push the whole address space as plain routes instead.
func readRedirect(r *reader, routes []netip.Prefix) Redirect {
	value, set := read(r, "redirect_gateway", intIn(0, 1))
	switch {
	case set && value == 1, coverAll(routes, true), coverAll(routes, false):
		return RedirectAll
	case set:
		return RedirectNone
	default:
		return RedirectUnknown
	}
}

// coverAll reports whether the routes of one family together hold every
// address of it.
func coverAll(routes []netip.Prefix, ipv4 bool) bool {
	next := netip.IPv6Unspecified()
	if ipv4 {
		next = netip.IPv4Unspecified()
	}
	sorted := slices.Clone(routes)
	slices.SortFunc(sorted, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	for _, p := range sorted {
		if p.Addr().Is4() != ipv4 {
			continue
		}
		if next.Less(p.Addr()) {
			return false
		}
		if after := lastAddr(p).Next(); !after.IsValid() {
			return true
		} else if next.Less(after) {
			next = after
		}
	}
	return false
}

func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

func parseNetwork4(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is4() {
		return netip.Addr{}, errors.New("not an IPv4 network")
	}
	return addr, nil
}

func parseNetwork6(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() || addr.Is4In6() || addr.Zone() != "" {
		return netip.Addr{}, errors.New("not an IPv6 network")
	}
	return addr, nil
}

func parsePrefix6(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("not an IPv6 prefix")
	}
	return p.Masked(), nil
}
