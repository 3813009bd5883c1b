package nft_test

import (
	"fmt"
	"net/netip"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

func agreePolicies() map[string]rules.Policy {
	tun := rules.Tunnel{
		Name:      "tun0",
		Addresses: []netip.Addr{netip.MustParseAddr("10.8.0.2"), netip.MustParseAddr("fd00:8::2")},
		Prefixes:  []netip.Prefix{netip.MustParsePrefix("10.66.0.0/16"), netip.MustParsePrefix("fd00:8::/64")},
		Resolvers: []netip.Addr{netip.MustParseAddr("10.66.0.53")},
	}
	full := rules.Policy{
		Tunnels: []rules.Tunnel{tun},
		Wires: []rules.Wire{{Name: "vg0", Index: 10, OnLink: []netip.Prefix{
			netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:77::/64")}}},
		Carriers: []rules.Carrier{
			{Owner: rules.Owner{UIDs: []uint32{0, 65534}}, Endpoints: []endpoint.Endpoint{
				udpEndpoint("203.0.113.10", 1194), udpEndpoint("203.0.113.10", 53), udpEndpoint("2001:db8:5::10", 1194)}},
			{Owner: rules.Owner{Mark: 0x51, Mask: 0xff}, Endpoints: []endpoint.Endpoint{
				{Addr: netip.MustParseAddrPort("203.0.113.11:443"), Proto: endpoint.TCP}}},
		},
	}
	allowing, split, unfenced := full, full, full
	allowing.LAN = true
	allowing.Guests = []string{"gst0"}
	allowing.AllowIn = []rules.Service{{Proto: endpoint.UDP, First: 5000, Last: 5010}}
	split.Profile = rules.Split
	unfenced.Wires = nil
	return map[string]rules.Policy{
		"full": full, "allowing": allowing, "split": split, "without a fence": unfenced,
		"lock": {Wires: full.Wires},
	}
}

const (
	host4, host6 = "192.168.77.2", "2001:db8:77::2"
	serverAddr   = "203.0.113.10"
)

func trials() []trial {
	var list []trial
	port := uint16(20000) // another one for each, so that no flow is an older one's
	add := func(name string, p rules.Packet) { list = append(list, trial{name: name, packet: p}) }
	make4 := func(path rules.Path, dev, src string, proto uint8, dst string) rules.Packet {
		port++
		p := rules.Packet{Path: path, Out: dev, Proto: proto, SrcPort: port, State: rules.CTNew, SrcOnOut: true}
		p.Src, _ = addrPort(src)
		p.Dst, p.DstPort = addrPort(dst)
		return p
	}
	// Each way to each place from each owner.
	for _, to := range []string{
		"203.0.113.10:1194", "203.0.113.10:53", "203.0.113.10:443", "203.0.113.11:443", "203.0.113.12:1194", "192.168.77.9:80", "192.168.77.9:53",
		"192.168.77.9:5353", "93.184.216.34:443", "93.184.216.34:853", "93.184.216.34:1900", "93.184.216.34:80", "224.0.0.251:5353",
		"[2001:db8:5::10]:1194", "[2001:db8:5::10]:443", "[2001:db8:80::80]:53", "[2001:db8:80::80]:443", "[fd00:9::9]:80", "[fd00:8::77]:80",
	} {
		src := host4
		if to[0] == '[' {
			src = host6
		}
		for _, proto := range []uint8{rules.ProtoUDP, rules.ProtoTCP} {
			if proto == rules.ProtoTCP && to == "224.0.0.251:5353" {
				continue
			}
			for _, uid := range []uint32{0, 1000, 65534} {
				for _, mark := range []uint32{0, 0x51, 0xab51} {
					p := make4(rules.FromHost, "vg0", src, proto, to)
					p.Socket, p.UID, p.Mark = true, uid, mark
					add(fmt.Sprintf("socket of uid %d with mark %#x, protocol %d to %s", uid, mark, proto, to), p)
				}
			}
			add(fmt.Sprintf("raw frame, protocol %d to %s", proto, to), make4(rules.RawFrame, "vg0", src, proto, to))
		}
	}
	return append(list, odd(make4)...)
}

// odd are trials of which there is one each.
func odd(make4 func(rules.Path, string, string, uint8, string) rules.Packet) []trial {
	var list []trial
	add := func(name string, p rules.Packet, change ...func(*rules.Packet)) {
		for _, c := range change {
			c(&p)
		}
		list = append(list, trial{name: name, packet: p})
	}
	by := func(uid uint32) func(*rules.Packet) { return func(p *rules.Packet) { p.Socket, p.UID = true, uid } }
	piece := func(p *rules.Packet) { p.Trailing = true }
	for _, to := range []string{serverAddr, "93.184.216.34", "192.168.77.9", "10.66.0.1"} {
		echo := func(p *rules.Packet) { p.Type = 8 }
		add("echo to "+to, make4(rules.FromHost, "vg0", host4, rules.ProtoICMP, to), by(0), echo)
		add("raw echo to "+to, make4(rules.RawFrame, "vg0", host4, rules.ProtoICMP, to), echo)
		add("raw GRE to "+to, make4(rules.RawFrame, "vg0", host4, 47, to))
		for _, port := range []uint16{53, 1194} {
			like := func(p *rules.Packet) { p.DstPort = port }
			add(fmt.Sprintf("raw later fragment like one to %s:%d", to, port), make4(rules.RawFrame, "vg0", host4, rules.ProtoUDP, to), piece, like)
			add(fmt.Sprintf("later fragment like one to %s:%d", to, port), make4(rules.FromHost, "vg0", host4, rules.ProtoUDP, to), by(0), piece, like)
		}
	}
	for _, to := range []string{"2001:db8:5::10", "2001:db8:80::80", "fd00:8::77"} {
		for _, port := range []uint16{53, 1194} {
			like := func(p *rules.Packet) { p.DstPort = port }
			add(fmt.Sprintf("raw later fragment like one to %s:%d", to, port), make4(rules.RawFrame, "vg0", host6, rules.ProtoUDP, to), piece, like)
		}
	}
	discovery := func(kind uint8, src string) rules.Packet {
		nd := make4(rules.RawFrame, "vg0", src, rules.ProtoICMPv6, "ff02::1")
		nd.Type, nd.HopLimit, nd.Length, nd.NDTarget = kind, 255, 56, netip.MustParseAddr("fe80::1")
		return nd
	}
	for kind := uint8(133); kind <= 137; kind++ {
		for name, c := range map[string]func(*rules.Packet){
			"": func(*rules.Packet) {}, ", routed": func(p *rules.Packet) { p.HopLimit = 254 },
			", with a code": func(p *rules.Packet) { p.Code = 1 }, ", just fitting": func(p *rules.Packet) { p.Length = 72 },
			", with freight": func(p *rules.Packet) { p.Length = 73 }, ", in pieces": piece,
		} {
			nd := discovery(kind, "fe80::7")
			add(fmt.Sprintf("raw neighbour discovery %d%s", kind, name), nd, c)
		}
		for _, target := range []string{"fe80::1", "fec0::1", "fd00::1", "2001:db8:77::1", "2001:db8:78::1"} {
			for _, src := range []string{"fe80::7", "::"} {
				nd := discovery(kind, src)
				nd.NDTarget = netip.MustParseAddr(target)
				add(fmt.Sprintf("raw neighbour discovery %d from %s about %s", kind, src, target), nd)
			}
		}
		nd := discovery(kind, "fe80::7")
		list = append(list, trial{name: fmt.Sprintf("raw neighbour discovery %d behind options", kind), packet: nd, spoil: behindOptions, seen: piece})
	}
	for _, op := range []uint8{0, 1, 2} {
		boot := func(p *rules.Packet) { p.SrcPort, p.DHCPOp = 68, op }
		add(fmt.Sprintf("raw DHCP %d", op), make4(rules.RawFrame, "vg0", "0.0.0.0", rules.ProtoUDP, "255.255.255.255:67"), boot)
		add(fmt.Sprintf("raw DHCP %d from another port", op), make4(rules.RawFrame, "vg0", "0.0.0.0", rules.ProtoUDP, "255.255.255.255:67"), boot, func(p *rules.Packet) { p.SrcPort = 69 })
		add(fmt.Sprintf("renewal of DHCP %d", op), make4(rules.FromHost, "vg0", host4, rules.ProtoUDP, "192.168.77.1:67"), by(0), boot)
	}
	cookie := make4(rules.RawFrame, "vg0", "0.0.0.0", rules.ProtoUDP, "255.255.255.255:67")
	cookie.SrcPort, cookie.DHCPOp = 68, 1
	noDHCP := func(p *rules.Packet) { p.DHCPOp = 0 }
	for at, name := range map[int]string{28 + 236: "first", 28 + 239: "last"} {
		list = append(list, trial{name: "raw DHCP with another " + name + " byte of the cookie", packet: cookie, spoil: other(at), seen: noDHCP})
	}
	for _, to := range []string{"203.0.113.10:1194", "203.0.113.10:443", "93.184.216.34:443"} {
		list = append(list, trial{name: "raw first fragment to " + to, packet: make4(rules.RawFrame, "vg0", host4, rules.ProtoUDP, to), spoil: first})
	}
	for _, to := range []string{"[2001:db8:5::10]:1194", "[2001:db8:5::10]:443", "[2001:db8:80::80]:443"} {
		list = append(list, trial{name: "raw first fragment to " + to, packet: make4(rules.RawFrame, "vg0", host6, rules.ProtoUDP, to), spoil: first})
	}
	for _, to := range []string{"192.168.77.1:67", "198.51.100.1:67", "8.8.8.8:67"} {
		boot := func(p *rules.Packet) { p.SrcPort, p.DHCPOp = 68, 1 }
		add("raw DHCP to "+to, make4(rules.RawFrame, "vg0", host4, rules.ProtoUDP, to), boot)
	}
	six := func(p *rules.Packet) { p.SrcPort = 546 }
	add("raw DHCPv6", make4(rules.RawFrame, "vg0", "fe80::7", rules.ProtoUDP, "[ff02::1:2]:547"), six)
	add("raw DHCPv6 to one server", make4(rules.RawFrame, "vg0", "fe80::7", rules.ProtoUDP, "[fe80::1]:547"), six)
	add("raw DHCPv6 from a global address", make4(rules.RawFrame, "vg0", host6, rules.ProtoUDP, "[ff02::1:2]:547"), six)
	add("raw answer of a service", make4(rules.RawFrame, "vg0", host4, rules.ProtoUDP, "93.184.216.34:40000"), func(p *rules.Packet) { p.SrcPort = 5001 })
	add("raw question from a service's port", make4(rules.RawFrame, "vg0", host4, rules.ProtoUDP, "93.184.216.34:53"), func(p *rules.Packet) { p.SrcPort = 5001 })
	for _, x := range []struct{ from, to string }{{host4, "192.168.77.1"}, {host4, "8.8.8.8"}, {host4, "198.51.100.1"}, {"10.8.0.2", "192.168.77.1"}, {"0.0.0.0", "192.168.77.2"}} {
		p := rules.Packet{Path: rules.RawFrame, Out: "vg0", Ether: 0x0806, ARPFrom: netip.MustParseAddr(x.from), ARPTo: netip.MustParseAddr(x.to), ARPForm: true}
		add("ARP from "+x.from+" for "+x.to, p)
		add("ARP with freight from "+x.from+" for "+x.to, p, func(p *rules.Packet) { p.ARPForm = false })
	}
	for _, ether := range []uint16{0x888e, 0x88b5, 0x88cc, 0x8847} {
		add(fmt.Sprintf("raw EtherType %#x", ether), rules.Packet{Path: rules.RawFrame, Out: "vg0", Ether: ether})
	}
	for _, to := range []string{"10.66.0.1:80", "10.66.0.53:53", "10.66.0.54:53", "93.184.216.34:443"} {
		add("inside to "+to, make4(rules.FromHost, "tun0", "10.8.0.2", rules.ProtoUDP, to), by(1000))
		add("with the LAN's address inside to "+to, make4(rules.FromHost, "tun0", host4, rules.ProtoUDP, to), by(1000), func(p *rules.Packet) { p.SrcOnOut = false })
	}
	for to, dev := range map[string]string{"93.184.216.34:443": "vg0", "203.0.113.10:1194": "vg0", "10.66.0.1:80": "tun0", "10.66.0.1:53": "tun0"} {
		p := make4(rules.Forwarded, dev, "172.31.0.2", rules.ProtoUDP, to)
		p.In, p.SrcReachableByIn = "gst0", true
		add("guest to "+to, p)
	}
	return append(list, inbound(make4)...)
}

func inbound(make4 func(rules.Path, string, string, uint8, string) rules.Packet) []trial {
	var list []trial
	for _, x := range []struct {
		name, from, to string
		state          rules.CTState
		spoofed, weak  bool
	}{
		{"answer of the server", "203.0.113.10:1194", host4, rules.CTEstablished, false, false},
		{"server that begins", "203.0.113.10:1194", host4, rules.CTNew, false, false},
		{"server from another port", "203.0.113.10:1195", host4, rules.CTNew, false, false},
		{"neighbour", "192.168.77.9:40000", host4, rules.CTNew, false, false},
		{"stranger", "93.184.216.34:40000", host4, rules.CTNew, false, false},
		{"stranger to a service", "93.184.216.34:40000", host4 + ":5005", rules.CTNew, false, false},
		{"stranger behind a service's ports", "93.184.216.34:40000", host4 + ":5011", rules.CTNew, false, false},
		{"spoofed source", "10.66.0.7:40000", host4, rules.CTNew, true, false},
		{"tunnel's address from the LAN", "192.168.77.9:40000", "10.8.0.2", rules.CTNew, false, true},
	} {
		p := make4(rules.ToHost, "", host4, rules.ProtoUDP, x.to)
		if p.DstPort == 0 {
			p.DstPort = p.SrcPort
		}
		p.Src, p.SrcPort = addrPort(x.from)
		p.In, p.State, p.SrcOnOut = "vg0", x.state, false
		p.SrcReachableByIn, p.DstLocal, p.DstOnIn = !x.spoofed, true, !x.weak
		list = append(list, trial{name: x.name, packet: p, after: x.state == rules.CTEstablished})
	}
	return list
}
