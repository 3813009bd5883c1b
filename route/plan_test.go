package route

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/endpoint"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func by(dst, gateway string, dev int) Route {
	r := Route{Table: tableMain, Dst: netip.MustParsePrefix(dst), Dev: dev, Type: 1}
	if gateway != "" {
		r.Gateway = netip.MustParseAddr(gateway)
	}
	return r
}

func udp(s string) endpoint.Endpoint {
	return endpoint.Endpoint{Addr: netip.MustParseAddrPort(s), Proto: endpoint.UDP}
}

// home is a full session over a home router, with the client's own routes in.
func home() Policy {
	return Policy{
		Table:    1000,
		Tunnels:  []Tunnel{{Name: "tun0", Index: 7, Up: true, Full: true, Addresses: addrs("10.8.0.2"), Prefixes: prefixes("10.8.0.0/24")}},
		Carriers: []Carrier{{UIDs: []uint32{0}, Endpoints: []endpoint.Endpoint{udp("203.0.113.10:1194")}, Avoid: []int{7}}},
		Wires:    []Wire{{Name: "eth0", Addresses: addrs("192.168.1.101", "2001:db8:1::101")}},
		Exempt:   prefixes("192.168.1.0/24", "fd12::/64"),
		Services: []Service{{endpoint.TCP, 22, 22}},
		Main: []Route{
			by("0.0.0.0/0", "192.168.1.1", 2), by("0.0.0.0/1", "10.8.0.1", 7), by("128.0.0.0/1", "10.8.0.1", 7), by("192.168.1.0/24", "", 2),
		},
	}
}

func TestPlanOfAFullSession(t *testing.T) {
	want := `ip route add 10.8.0.0/24 dev tun0 metric 1 table 1001
ip route add blackhole 10.8.0.0/24 metric 4294967295 table 1001
ip route add 0.0.0.0/0 dev tun0 metric 1 table 1002
ip route add blackhole 0.0.0.0/0 metric 4294967295 table 1002
ip route add 203.0.113.10/32 via 192.168.1.1 dev #2 metric 1 table 1000
ip rule add priority 1909 to 203.0.113.10/32 iif lo uidrange 0-0 ipproto udp dport 1194 lookup 1000
ip rule add priority 1909 to 203.0.113.10/32 iif lo ipproto udp sport 1194 lookup 1000
ip rule add priority 1910 to 203.0.113.10/32 iif lo uidrange 0-0 ipproto udp dport 1194 lookup main suppress_prefixlength 1
ip rule add priority 1910 to 203.0.113.10/32 iif lo ipproto udp sport 1194 lookup main suppress_prefixlength 1
ip rule add priority 1911 to 203.0.113.10/32 iif lo uidrange 0-0 ipproto udp dport 1194 unreachable
ip rule add priority 1912 lookup 1001
ip rule add priority 1913 from 10.8.0.2/32 iif lo lookup 1002
ip rule add priority 1914 from 192.168.1.101/32 iif lo lookup 1000
ip rule add priority 1915 from 192.168.1.101/32 iif lo lookup main
ip rule add priority 1915 oif eth0 lookup main
ip rule add priority 1915 to 192.168.1.0/24 lookup main
ip rule add priority 1915 iif lo ipproto udp sport 68 dport 67 lookup main
ip rule add priority 1915 iif lo ipproto tcp sport 22 lookup main
ip rule add priority 1916 lookup 1002`
	if diff := cmp.Diff(want, strings.Join(Make(home()).Lines(), "\n")); diff != "" {
		t.Errorf("the plan differs (-want +got):\n%s", diff)
	}
}

// has finds the lines with all these words.
func has(p Plan, words ...string) bool {
	return slices.ContainsFunc(p.Lines(), func(line string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line+" ", w+" ") })
	})
}

func TestPlanFollowsOwnerFamilyAndProfile(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Policy)
		has    [][]string
		not    [][]string
	}{
		"a mark": {func(p *Policy) {
			p.Carriers[0].UIDs, p.Carriers[0].Mark, p.Carriers[0].Mask = nil, 0x10, 0xff
		}, [][]string{{"1909", "fwmark 0x10/0xff", "dport 1194"}, {"1909", "uidrange 0-0", "dport 1194"}, {"1911", "fwmark 0x10/0xff", "unreachable"}}, [][]string{{"fwmark 0x10/0xff", "uidrange"}}},
		"a mark and two uids": {func(p *Policy) {
			p.Carriers[0].UIDs, p.Carriers[0].Mark, p.Carriers[0].Mask = []uint32{5, 6}, 0x10, 0xff
		}, [][]string{{"fwmark 0x10/0xff", "uidrange 5-5"}, {"fwmark 0x10/0xff", "uidrange 6-6"}}, nil},
		"a cgroup is for the packet filter": {func(p *Policy) { p.Carriers[0].UIDs = nil },
			[][]string{{"1909", "to 203.0.113.10/32 iif lo ipproto udp dport 1194"}}, nil},
		"IPv6 without an address is not steered": {func(*Policy) {}, nil, [][]string{{"-6"}}},
		"IPv6": {func(p *Policy) { p.Tunnels[0].Addresses = append(p.Tunnels[0].Addresses, addrs("fd00:8::2")...) },
			[][]string{{"-6 route", "::/0 dev tun0"}, {"-6 route", "blackhole ::/0"}, {"-6 rule", "to fe80::/10 lookup main"}, {"-6 rule", "sport 546 dport 547 lookup main"},
				{"-6 rule", "from 2001:db8:1::101/128", "lookup main"}, {"-6 rule", "to fd12::/64 lookup main"}}, nil},
		"a device that is down": {func(p *Policy) { p.Tunnels[0].Up = false },
			[][]string{{"blackhole 0.0.0.0/0"}, {"1916"}}, [][]string{{"dev tun0"}}},
		"a device with neighbours has a gateway": {func(p *Policy) {
			p.Tunnels[0].Ethernet, p.Tunnels[0].Gateways = true, addrs("fd00::1", "10.8.0.1")
		}, [][]string{{"0.0.0.0/0 via 10.8.0.1 dev tun0 onlink"}}, nil},
		"split": {func(p *Policy) { p.Tunnels[0].Full = false },
			[][]string{{"1912 lookup 1001"}, {"10.8.0.0/24 dev tun0"}, {"1909"}}, [][]string{{"1002"}, {"1915"}, {"1911"}}},
		"split, and the server is in its prefix": {func(p *Policy) { p.Tunnels[0].Full, p.Tunnels[0].Prefixes = false, prefixes("203.0.113.0/24") },
			[][]string{{"1912 lookup 1001"}, {"1911", "to 203.0.113.10/32", "unreachable"}}, nil},
		"a tunnel's prefix that holds the LAN does not take it": {func(p *Policy) { p.Tunnels[0].Prefixes = prefixes("192.168.0.0/16") },
			[][]string{{"1915 to 192.168.1.0/24"}}, [][]string{{"192.168.0.0/16"}}},
		"a LAN that claims the tunnel's prefix does not get it": {func(p *Policy) { p.Exempt = prefixes("10.8.0.0/24", "10.0.0.0/8") },
			[][]string{{"10.8.0.0/24 dev tun0"}}, nil},
		"a default route among the prefixes is no prefix": {func(p *Policy) { p.Tunnels[0].Prefixes = prefixes("0.0.0.0/0") },
			nil, [][]string{{"1001", "0.0.0.0/0"}}},
		"two full sessions": {func(p *Policy) {
			p.Tunnels = append(p.Tunnels, Tunnel{Name: "tun1", Index: 8, Up: true, Full: true, Addresses: addrs("10.9.0.2")})
		}, [][]string{{"0.0.0.0/0 dev tun0 metric 1 table 1002"}, {"0.0.0.0/0 dev tun1 metric 2 table 1002"},
			{"0.0.0.0/0 dev tun1 metric 1 table 1003"}, {"blackhole 0.0.0.0/0", "table 1003"}, {"from 10.8.0.2/32", "lookup 1002"}, {"from 10.9.0.2/32", "lookup 1003"}}, nil},
		"no way to the server":         {func(p *Policy) { p.Main = p.Main[1:3] }, [][]string{{"1910", "lookup main suppress_prefixlength 1"}, {"1911", "unreachable"}}, [][]string{{"route add 203.0.113.10"}}},
		"no route of the client's own": {func(p *Policy) { p.Main = p.Main[:1] }, [][]string{{"1910", "lookup main"}, {"1911", "unreachable"}}, [][]string{{"suppress_prefixlength"}}},
		"the client's route is the server's alone": {func(p *Policy) { p.Main = append(p.Main, by("203.0.113.10/32", "10.8.0.1", 7)) },
			[][]string{{"1911", "unreachable"}, {"route add 203.0.113.10/32 via 192.168.1.1"}}, [][]string{{"1910"}}},
		"a tunnel inside another goes by that": {func(p *Policy) {
			p.Tunnels = append([]Tunnel{{Name: "tun1", Index: 8, Up: true, Full: true, Addresses: addrs("10.9.0.2")}}, p.Tunnels...)
			p.Carriers[0].Avoid = []int{8, 7}
			p.Carriers = append(p.Carriers, Carrier{UIDs: []uint32{9}, Endpoints: []endpoint.Endpoint{udp("198.51.100.9:7")}, Avoid: []int{8}})
		}, [][]string{{"1911", "to 198.51.100.9/32", "lookup 1003"}, {"table 1003", "dev tun0"}, {"1911", "to 203.0.113.10/32", "unreachable"}}, nil},
		"a server in another tunnel's prefix is in its table": {func(p *Policy) {
			p.Tunnels = append([]Tunnel{{Name: "tun1", Index: 8, Up: true, Full: true, Addresses: addrs("10.9.0.2")}}, p.Tunnels...)
			p.Tunnels[1].Full = false
			p.Carriers = append(p.Carriers, Carrier{UIDs: []uint32{9}, Endpoints: []endpoint.Endpoint{udp("10.8.0.9:7")}, Avoid: []int{8}})
		}, [][]string{{"1912", "lookup 1001"}, {"10.8.0.0/24 dev tun0"}}, [][]string{{"1911", "to 10.8.0.9/32"}}},
		"no session": {func(p *Policy) { p.Tunnels = nil }, nil, [][]string{{""}}},
	} {
		p := home()
		c.change(&p)
		plan := Make(p)
		for _, words := range c.has {
			if !has(plan, words...) {
				t.Errorf("%s: no line with %q:\n%s", name, words, strings.Join(plan.Lines(), "\n"))
			}
		}
		for _, words := range c.not {
			if has(plan, words...) {
				t.Errorf("%s: a line with %q:\n%s", name, words, strings.Join(plan.Lines(), "\n"))
			}
		}
	}
}

// The rule for all else must never be there before the carriers' rules.
func TestTheRuleForAllElseIsTheLastOfItsFamily(t *testing.T) {
	p := home()
	p.Tunnels[0].Addresses = addrs("10.8.0.2", "fd00:8::2")
	last := map[bool]uint32{}
	for _, r := range Make(p).Rules {
		if r.Priority < last[r.IPv6] {
			t.Errorf("rule %s comes after priority %d", r, last[r.IPv6])
		}
		last[r.IPv6] = r.Priority
	}
	if last[false] != priorityEnd || last[true] != priorityEnd {
		t.Errorf("the last rules have priorities %v", last)
	}
}

func TestWayPastTheTunnelIsTheLongestPrefixAndTheLowestMetric(t *testing.T) {
	slow := by("0.0.0.0/0", "192.168.2.1", 3)
	slow.Metric = 600
	main := append(home().Main, slow, by("203.0.113.0/24", "192.168.1.7", 2))
	blackhole := by("203.0.113.64/26", "", 0)
	blackhole.Type = 6
	main = append(main, blackhole)
	for _, c := range []struct {
		addr  string
		avoid []int
		want  string // gateway; empty: none
	}{
		{"203.0.113.10", []int{7}, "192.168.1.7"}, {"203.0.113.70", []int{7}, "192.168.1.7"}, {"198.51.100.1", []int{7}, "192.168.1.1"},
		{"198.51.100.1", nil, "10.8.0.1"}, {"198.51.100.1", []int{2, 7}, "192.168.2.1"}, {"198.51.100.1", []int{2, 3, 7}, ""}, {"2001:db8::1", nil, ""},
	} {
		got, ok := Way(main, netip.MustParseAddr(c.addr), c.avoid)
		if ok != (c.want != "") || ok && got.Gateway.String() != c.want {
			t.Errorf("way to %s without %v: %v %v, want by %q", c.addr, c.avoid, got, ok, c.want)
		}
	}
}
