package route

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Way is the route to addr that the main table would have without the routes by
// the links to avoid: the longest prefix, and of several the lowest metric.
func Way(main []Route, addr netip.Addr, avoid []int) (best Route, ok bool) {
	for _, r := range main {
		if r.Type != unix.RTN_UNICAST || r.Dev == 0 || slices.Contains(avoid, r.Dev) || !r.Dst.Contains(addr) {
			continue
		}
		if !ok || r.Dst.Bits() > best.Dst.Bits() || r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric {
			best, ok = r, true
		}
	}
	return best, ok
}
