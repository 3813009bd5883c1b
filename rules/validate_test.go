package rules_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

func TestValidateRefusesEachBadPart(t *testing.T) {
	carrier := func(change func(*rules.Carrier)) func(*rules.Policy) {
		return func(p *rules.Policy) { change(&p.Carriers[0]) }
	}
	cgroup := func(change func(*rules.Cgroup)) func(*rules.Policy) {
		return func(p *rules.Policy) { change(&p.Carriers[1].Owner.Cgroup) }
	}
	to := func(addr string, port uint16, proto endpoint.Proto) func(*rules.Policy) {
		return carrier(func(c *rules.Carrier) {
			a, _ := netip.ParseAddr(addr)
			c.Endpoints[0] = endpoint.Endpoint{Addr: netip.AddrPortFrom(a, port), Proto: proto}
		})
	}
	service := func(proto endpoint.Proto, first, last uint16) func(*rules.Policy) {
		return func(p *rules.Policy) { p.AllowIn[0] = rules.Service{Proto: proto, First: first, Last: last} }
	}
	tunnel := func(change func(*rules.Tunnel)) func(*rules.Policy) {
		return func(p *rules.Policy) { change(&p.Tunnels[0]) }
	}
	for _, c := range []struct {
		name  string
		spoil func(*rules.Policy)
		want  string
	}{
		{"profile", func(p *rules.Policy) { p.Profile = 2 }, "profile 2: neither full nor split"},
		{"tunnel without a name", tunnel(func(x *rules.Tunnel) { x.Name = "" }), `tunnel "": empty interface name`},
		{"tunnel with a wildcard", tunnel(func(x *rules.Tunnel) { x.Name = "tun*" }), `tunnel "tun*":`},
		{"tunnel with a quote", tunnel(func(x *rules.Tunnel) { x.Name = `t"` }), `tunnel "t\"":`},
		{"tunnel with a name too long", tunnel(func(x *rules.Tunnel) { x.Name = "a234567890123456" }), `tunnel "a234567890123456":`},
		{"tunnel on loopback", tunnel(func(x *rules.Tunnel) { x.Name = "lo" }), `tunnel "lo": it is a loopback already`},
		{"two tunnels of a name", tunnel(func(x *rules.Tunnel) { x.Name = "tun1" }), `tunnel "tun1": it is a tunnel already`},
		{"tunnel with no address", tunnel(func(x *rules.Tunnel) { x.Addresses[0] = netip.Addr{} }), `tunnel "tun0": invalid IP is not an address`},
		{"tunnel with an IPv4-mapped address", tunnel(func(x *rules.Tunnel) { x.Addresses = addrs("::ffff:10.8.0.2") }), `tunnel "tun0": ::ffff:10.8.0.2 is not`},
		{"resolver with a zone", tunnel(func(x *rules.Tunnel) { x.Resolvers = addrs("fe80::1%eth0") }), `tunnel "tun0": fe80::1%eth0 is not`},
		{"IPv4-mapped prefix", tunnel(func(x *rules.Tunnel) { x.Prefixes = prefixes("::ffff:10.0.0.0/104") }), `tunnel "tun0": ::ffff:10.0.0.0/104 is not`},
		{"no prefix", tunnel(func(x *rules.Tunnel) { x.Prefixes = []netip.Prefix{{}} }), `tunnel "tun0": invalid Prefix is not`},
		{"guest that is a tunnel", func(p *rules.Policy) { p.Guests[0] = "tun0" }, `guest "tun0": it is a tunnel already`},
		{"guest twice", func(p *rules.Policy) { p.Guests[0] = p.Guests[1] }, `guest "virbr0": it is a guest already`},
		{"guest without a name", func(p *rules.Policy) { p.Guests[0] = "" }, `guest "":`},
		{"wire that is a tunnel", func(p *rules.Policy) { p.Wires[0].Name = "tun0" }, `wire "tun0": it is a tunnel already`},
		{"wire that is a guest", func(p *rules.Policy) { p.Wires[0].Name = "docker0" }, `wire "docker0": it is a guest already`},
		{"wire that is loopback", func(p *rules.Policy) { p.Wires[0].Name = "lo" }, `wire "lo": it is a loopback already`},
		{"wire with a slash", func(p *rules.Policy) { p.Wires[0].Name = "a/b" }, `wire "a/b":`},
		{"wire without an index", func(p *rules.Policy) { p.Wires[0].Index = 0 }, `wire "eth0": index 0 is not positive`},
		{"two wires of an index", func(p *rules.Policy) { p.Wires = append(p.Wires, rules.Wire{Name: "eth1", Index: 2}) }, `wire "eth1": index 2 is that of "eth0"`},
		{"wire on an IPv4-mapped link", func(p *rules.Policy) { p.Wires[0].OnLink = prefixes("::ffff:10.0.0.0/104") }, `wire "eth0": ::ffff:10.0.0.0/104 is not`},
		{"carrier without an owner", carrier(func(c *rules.Carrier) { c.Owner = rules.Owner{} }), "carrier: no owner"},
		{"carrier owned by a mark without a mask", carrier(func(c *rules.Carrier) { c.Owner = rules.Owner{Mark: 1} }), "carrier: no owner"},
		{"mark outside its mask", carrier(func(c *rules.Carrier) { c.Owner.Mark, c.Owner.Mask = 0x11, 0x0f }), "carrier: mark 0x11 has bits outside its mask 0xf"},
		{"mark without a mask", carrier(func(c *rules.Carrier) { c.Owner.Mark = 1 }), "carrier: mark 0x1 has bits outside its mask 0x0"},
		{"mark of unmarked packets", carrier(func(c *rules.Carrier) { c.Owner.Mask = 0xff }), "carrier: mark 0/0xff would match every unmarked packet"},
		{"cgroup at no level", cgroup(func(g *rules.Cgroup) { g.Level = 0 }), `carrier: cgroup "system.slice/vpn.service" at level 0`},
		{"cgroup too deep", cgroup(func(g *rules.Cgroup) { g.Level = 256 }), "at level 256"},
		{"cgroup without an id", cgroup(func(g *rules.Cgroup) { g.ID = 0 }), "with id 0 cannot be matched"},
		{"cgroup with a quote", cgroup(func(g *rules.Cgroup) { g.Path = `a"b` }), `cgroup "a\"b"`},
		{"cgroup with a new line", cgroup(func(g *rules.Cgroup) { g.Path = "a\nb" }), `cgroup "a\nb"`},
		{"endpoint without a port", to("203.0.113.10", 0, endpoint.UDP), "endpoint 203.0.113.10:0/udp: not the address"},
		{"endpoint without a protocol", to("203.0.113.10", 1194, 0), "endpoint 203.0.113.10:1194/invalid: not"},
		{"endpoint without an address", to("", 1194, endpoint.UDP), "not the address, port and protocol of a server"},
		{"endpoint with an IPv4-mapped address", to("::ffff:203.0.113.10", 1194, endpoint.UDP), "not the address"},
		{"endpoint with a group", to("239.1.1.1", 1194, endpoint.UDP), "not the address"},
		{"endpoint on loopback", to("127.0.0.1", 1194, endpoint.UDP), "not the address"},
		{"endpoint with a zone", to("fe80::1%eth0", 1194, endpoint.UDP), "not the address"},
		{"service without a protocol", service(0, 22, 22), "service invalid/22-22: not a port range"},
		{"service on port 0", service(endpoint.TCP, 0, 22), "service tcp/0-22: not a port range"},
		{"service the wrong way round", service(endpoint.UDP, 23, 22), "service udp/23-22: not a port range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := allowing()
			if err := p.Validate(); err != nil {
				t.Fatalf("the policy before it is spoilt: %v", err)
			}
			c.spoil(&p)
			err := p.Validate()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q in it", err, c.want)
			}
			rs, errBuild := rules.Build(p)
			if errBuild == nil || errBuild.Error() != err.Error() {
				t.Errorf("Build says %v", errBuild)
			}
			if diff := cmp.Diff(rules.Ruleset{}, rs); diff != "" {
				t.Errorf("Build returned something beside the error:\n%s", diff)
			}
		})
	}
}

func TestValidateTakesTheEdges(t *testing.T) {
	p := rules.Policy{
		Wires:   []rules.Wire{{Name: "123456789012345", Index: 1, OnLink: prefixes("0.0.0.0/1", "2001:db8::/32")}},
		Tunnels: []rules.Tunnel{{Name: "t", Prefixes: prefixes("0.0.0.0/0", "::/0", "255.255.255.255/32"), Addresses: addrs("fe80::1")}},
		AllowIn: []rules.Service{{Proto: endpoint.UDP, First: 1, Last: 65535}},
		Carriers: []rules.Carrier{{
			Owner:     rules.Owner{UIDs: []uint32{0}, Mark: 1 << 31, Mask: ^uint32(0), Cgroup: rules.Cgroup{Path: "a", Level: 255, ID: 1}},
			Endpoints: endpoints("203.0.113.10:65535/tcp"),
		}, {Owner: rules.Owner{UIDs: []uint32{1}}}},
	}
	for _, p := range []rules.Policy{{}, p} {
		if err := p.Validate(); err != nil {
			t.Errorf("%v\n%+v", err, p)
		}
	}
}
