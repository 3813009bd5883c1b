package rules

import (
	"net/netip"
	"slices"
)

type prefix = netip.Prefix

var (
	linkMulticast6 = netip.MustParsePrefix("ff02::/16")
	linkLocal6     = netip.MustParsePrefix("fe80::/10")
	dhcpv6Servers  = netip.MustParsePrefix("ff02::1:2/128")
	everybody      = netip.MustParsePrefix("255.255.255.255/32")
	nobody6        = netip.MustParsePrefix("::/128")
)

// NeverPublic reports whether all of a prefix is in ranges that no router of the
// internet has.
func NeverPublic(p netip.Prefix) bool {
	return slices.ContainsFunc(neverPublic, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) })
}

// neverPublic are the ranges that LAN access may reach: no router of the
// internet has them, so that a LAN which claims a public prefix gains nothing
// (CVE-2023-36672). RFC 1918, RFC 3927, RFC 4193, RFC 4291.
var neverPublic = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("fc00::/7"),
	linkLocal6,
}
