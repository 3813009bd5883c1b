package route

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRoutesThatAttractUsersTrafficAreInjected(t *testing.T) {
	j := Judge{Wires: map[int][]netip.Prefix{2: prefixes("192.168.1.0/24")}, Servers: addrs("203.0.113.10")}
	for _, c := range []struct {
		name  string
		dst   string
		oif   int
		proto uint8
		kind  uint8
		want  bool
	}{
		{"one host by DHCP", "8.8.8.8/32", 2, unix.RTPROT_DHCP, unix.RTN_UNICAST, true},
		{"half the internet", "0.0.0.0/1", 2, unix.RTPROT_STATIC, unix.RTN_UNICAST, true},
		{"IPv6 by advertisement", "2001:db8:80::/48", 2, unix.RTPROT_RA, unix.RTN_UNICAST, true},
		{"the way to the server", "203.0.113.10/32", 2, unix.RTPROT_BOOT, unix.RTN_UNICAST, false},
		{"the server's whole network", "203.0.113.0/24", 2, unix.RTPROT_BOOT, unix.RTN_UNICAST, true},
		{"a default route", "0.0.0.0/0", 2, unix.RTPROT_DHCP, unix.RTN_UNICAST, false},
		{"the wire's own network", "192.168.1.0/24", 2, unix.RTPROT_KERNEL, unix.RTN_UNICAST, false},
		{"a neighbour", "192.168.1.1/32", 2, unix.RTPROT_DHCP, unix.RTN_UNICAST, false},
		{"more than the neighbours", "192.168.0.0/16", 2, unix.RTPROT_DHCP, unix.RTN_UNICAST, true},
		{"by the tunnel", "8.8.8.8/32", 5, unix.RTPROT_BOOT, unix.RTN_UNICAST, false},
		{"steered by us", "203.0.113.11/32", 2, Protocol, unix.RTN_UNICAST, false},
		{"multicast", "ff02::/16", 2, unix.RTPROT_BOOT, unix.RTN_UNICAST, false},
		{"a blackhole", "8.8.8.8/32", 2, unix.RTPROT_STATIC, unix.RTN_BLACKHOLE, false},
	} {
		r := Route{Dst: netip.MustParsePrefix(c.dst), Dev: c.oif, Protocol: c.proto, Type: c.kind}
		if got := j.Injected(r); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
