package route

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Judge knows which routes by a wire are in order.
type Judge struct {
	Wires   map[int][]netip.Prefix // where the neighbours of each wire are, by its index
	Servers []netip.Addr
}

// Injected reports whether a route by a wire attracts what belongs in a tunnel,
// be it a host's, a network's or half of everything: neither a default route, nor
// the wire's own network, nor the way to a server. A rogue DHCP server makes such
// routes (CVE-2024-3661), and so does an honest one that knows of another LAN.
func (j Judge) Injected(r Route) bool {
	neighbours, known := j.Wires[r.Dev]
	if !known || r.Type != unix.RTN_UNICAST || r.Protocol == unix.RTPROT_KERNEL || r.Protocol == Protocol || r.Dst.Bits() == 0 {
		return false
	}
	if a := r.Dst.Addr(); a.IsMulticast() || a.IsLinkLocalUnicast() {
		return false
	}
	if slices.ContainsFunc(neighbours, func(p netip.Prefix) bool { return p.Bits() <= r.Dst.Bits() && p.Contains(r.Dst.Addr()) }) {
		return false
	}
	return !r.Dst.IsSingleIP() || !slices.Contains(j.Servers, r.Dst.Addr())
}
