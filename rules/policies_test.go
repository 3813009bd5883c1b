package rules_test

import (
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func endpoints(list ...string) []endpoint.Endpoint {
	out := make([]endpoint.Endpoint, 0, len(list))
	for _, s := range list {
		e, err := endpoint.Parse(s)
		if err != nil {
			panic(err)
		}
		out = append(out, e)
	}
	return out
}

// carriers are one by uid, as OpenVPN with `user nobody` has it, and one by
// mark and cgroup together.
func carriers() []rules.Carrier {
	return []rules.Carrier{
		{
			Owner:     rules.Owner{UIDs: []uint32{65534, 0}},
			Endpoints: endpoints("203.0.113.10:1194/udp", "[2001:db8:5::10]:443/tcp"),
		},
		{
			Owner:     rules.Owner{Mark: 0x51, Mask: 0xff, Cgroup: rules.Cgroup{Path: "system.slice/vpn.service", Level: 2, ID: 77}},
			Endpoints: endpoints("203.0.113.11:51820/udp", "[2001:db8:5::11]:51820/udp"),
		},
	}
}

func tunnels() []rules.Tunnel {
	return []rules.Tunnel{
		{
			Name:      "tun0",
			Addresses: addrs("10.8.0.2", "fd00:8::2"),
			Prefixes:  prefixes("10.8.0.0/24", "10.66.0.0/16", "fd00:8::/64"),
			Resolvers: addrs("10.8.0.1", "fd00:8::1"),
		},
		{Name: "tun1", Addresses: addrs("10.9.0.2")},
	}
}

func full() rules.Policy {
	return rules.Policy{Tunnels: tunnels(), Carriers: carriers(), Wires: []rules.Wire{{Name: "eth0", Index: 2}}}
}

func allowing() rules.Policy {
	p := full()
	p.LAN, p.Log = true, true
	p.AllowIn = []rules.Service{{Proto: endpoint.TCP, First: 22, Last: 22}, {Proto: endpoint.UDP, First: 5000, Last: 5010}}
	p.Guests = []string{"docker0", "virbr0"}
	p.Carriers[0].Endpoints = append(p.Carriers[0].Endpoints, endpoints("192.168.1.50:1194/udp")...)
	return p
}

func split() rules.Policy {
	p := full()
	p.Profile = rules.Split
	p.Guests = []string{"docker0"}
	return p
}

// apart is split with somebody who tells names apart.
func apart() rules.Policy {
	p := split()
	uid := uint32(990)
	p.Asker = &uid
	return p
}

func lock() rules.Policy {
	return rules.Policy{Wires: []rules.Wire{
		{Name: "eth0", Index: 2}, {Name: "wlan0", Index: 3, OnLink: prefixes("198.51.100.0/24", "2001:db8:1::/64")},
	}}
}

// policies are those of the goldens and of the table of packets.
func policies() map[string]rules.Policy {
	return map[string]rules.Policy{"full": full(), "allowing": allowing(), "split": split(), "apart": apart(), "lock": lock()}
}

func build(t testing.TB, p rules.Policy) rules.Ruleset {
	t.Helper()
	rs, err := rules.Build(p)
	if err != nil {
		t.Fatalf("build: %v\n%+v", err, p)
	}
	return rs
}
