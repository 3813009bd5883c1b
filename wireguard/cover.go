package wireguard

import (
	"net/netip"
	"slices"
)

// Full reports whether prefixes are all addresses of a family, or half of them:
// whoever allows that wants all traffic in the tunnel, of both families. Prefixes
// that leave a part out, such as the LAN's, are not all.
func Full(prefixes []netip.Prefix) bool {
	wide := func(p netip.Prefix) bool { return p.Bits() <= 1 } // 0.0.0.0/0, or one of the halves that stand for it
	return slices.ContainsFunc(prefixes, wide) ||
		covers(netip.PrefixFrom(netip.IPv4Unspecified(), 0), prefixes) ||
		covers(netip.PrefixFrom(netip.IPv6Unspecified(), 0), prefixes)
}

// covers reports whether the prefixes together hold all of p. It looks into a half
// only if a prefix is in there, so that it ends soon.
func covers(p netip.Prefix, prefixes []netip.Prefix) bool {
	var inside []netip.Prefix
	for _, x := range prefixes {
		if x.Bits() <= p.Bits() && x.Contains(p.Addr()) {
			return true
		}
		if p.Contains(x.Addr()) {
			inside = append(inside, x)
		}
	}
	if len(inside) < 2 {
		return false
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	addr, _ := netip.AddrFromSlice(bytes)
	return covers(low, inside) && covers(netip.PrefixFrom(addr, p.Bits()+1), inside)
}
