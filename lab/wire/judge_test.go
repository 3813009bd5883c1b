package wire

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

var (
	hostMAC    = net.HardwareAddr{2, 0, 0, 0, 1, 0x65}
	gatewayMAC = net.HardwareAddr{2, 0, 0, 0, 1, 1}
	host       = netip.MustParseAddr("192.168.1.101")
	host6      = netip.MustParseAddr("2001:db8:1::101")
	local6     = netip.MustParseAddr("fe80::ff:fe00:165")
	gateway    = netip.MustParseAddr("192.168.1.1")
	gateway6   = netip.MustParseAddr("2001:db8:1::1")
	server     = netip.MustParseAddr("203.0.113.10")
)

var policy = Policy{
	MACs:       [][6]byte{[6]byte(hostMAC)},
	Hosts:      []netip.Addr{host, host6, local6},
	Neighbours: []netip.Addr{gateway, gateway6},
	Carriers: []Carrier{
		{Remote: netip.AddrPortFrom(server, 1194), Proto: UDP, LocalPort: 40000},
		{Remote: netip.AddrPortFrom(server, 443), Proto: TCP},
	},
}

// frame builds by another library than the one under test.
func frame(t *testing.T, all ...gopacket.SerializableLayer) Frame {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, all...); err != nil {
		t.Fatal(err)
	}
	return Frame{Time: time.Unix(0, 0), Data: b.Bytes(), Len: len(b.Bytes())}
}

func ether(kind layers.EthernetType, to net.HardwareAddr) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: hostMAC, DstMAC: to, EthernetType: kind}
}

func ip4(from, to netip.Addr, proto layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
}

func ip6(from, to string, proto layers.IPProtocol, hops uint8) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: hops, NextHeader: proto,
		SrcIP: netip.MustParseAddr(from).AsSlice(), DstIP: netip.MustParseAddr(to).AsSlice()}
}

func udp(from, to uint16) *layers.UDP {
	return &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
}

func arp(op uint16, mac net.HardwareAddr, sender, target netip.Addr) *layers.ARP {
	return &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: op, SourceHwAddress: mac, SourceProtAddress: sender.AsSlice(), DstHwAddress: make([]byte, 6), DstProtAddress: target.AsSlice(),
	}
}

func discover(change func(*layers.DHCPv4)) *layers.DHCPv4 {
	d := &layers.DHCPv4{Operation: layers.DHCPOpRequest, HardwareType: layers.LinkTypeEthernet, HardwareLen: 6, ClientHWAddr: hostMAC,
		Options: layers.DHCPOptions{layers.NewDHCPOption(layers.DHCPOptMessageType, []byte{1})}}
	change(d)
	return d
}

func solicitation(kind, code byte, target string, extra ...byte) gopacket.Payload {
	b := []byte{kind, code, 0, 0, 0, 0, 0, 0}
	if target != "" {
		b = append(b, netip.MustParseAddr(target).AsSlice()...)
	}
	return append(b, extra...)
}

// Each class with its exact form, and beside it what misses it by one thing.
func TestEachClassRefusesItsNearMiss(t *testing.T) {
	any4, all4 := netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255")
	cast := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	pae := net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 3}
	v4, v6 := ether(layers.EthernetTypeIPv4, gatewayMAC), ether(layers.EthernetTypeIPv6, gatewayMAC)
	data := gopacket.Payload("data")
	keep := func(*layers.DHCPv4) {}
	routed := ip4(host, server, layers.IPProtocolUDP)
	routed.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 7, OptionData: []byte{4, 0, 0, 0, 0}}, {OptionType: 0}}
	dhcpVia := func(from, to netip.Addr, sport, dport uint16, d *layers.DHCPv4) Frame {
		return frame(t, ether(layers.EthernetTypeIPv4, cast), ip4(from, to, layers.IPProtocolUDP), udp(sport, dport), d)
	}
	dhcp6 := func(from, to string, sport, dport uint16, kind byte) Frame {
		return frame(t, v6, ip6(from, to, layers.IPProtocolUDP, 1), udp(sport, dport), gopacket.Payload{kind, 1, 2, 3})
	}
	nd := func(from, to string, hops uint8, p gopacket.Payload) Frame {
		return frame(t, v6, ip6(from, to, layers.IPProtocolICMPv6, hops), p)
	}
	link := []byte{1, 1, 2, 0, 0, 0, 1, 0x65}
	cut := frame(t, v4, ip4(host, server, layers.IPProtocolUDP), udp(40000, 1194), data)
	cut.Len += 10
	for _, c := range []struct {
		name  string
		frame Frame
		want  Class
	}{
		{"udp carrier", frame(t, v4, ip4(host, server, layers.IPProtocolUDP), udp(40000, 1194), data), CarrierClass},
		{"tcp carrier", frame(t, v4, ip4(host, server, layers.IPProtocolTCP), &layers.TCP{SrcPort: 5, DstPort: 443}, data), CarrierClass},
		{"carrier, wrong remote port", frame(t, v4, ip4(host, server, layers.IPProtocolUDP), udp(40000, 1195), data), Leak},
		{"carrier, wrong local port", frame(t, v4, ip4(host, server, layers.IPProtocolUDP), udp(40001, 1194), data), Leak},
		{"carrier, wrong protocol", frame(t, v4, ip4(host, server, layers.IPProtocolTCP), &layers.TCP{SrcPort: 40000, DstPort: 1194}, data), Leak},
		{"carrier, wrong address", frame(t, v4, ip4(host, netip.MustParseAddr("203.0.113.11"), layers.IPProtocolUDP), udp(40000, 1194), data), Leak},
		{"carrier, tunnel source", frame(t, v4, ip4(netip.MustParseAddr("10.8.0.2"), server, layers.IPProtocolUDP), udp(40000, 1194), data), Leak},
		{"carrier with IP options", frame(t, v4, routed, udp(40000, 1194), data), Leak},
		{"carrier from another MAC", frame(t, &layers.Ethernet{SrcMAC: gatewayMAC, DstMAC: gatewayMAC, EthernetType: layers.EthernetTypeIPv4},
			ip4(host, server, layers.IPProtocolUDP), udp(40000, 1194), data), Leak},
		{"carrier in a VLAN", frame(t, ether(layers.EthernetTypeDot1Q, gatewayMAC), &layers.Dot1Q{VLANIdentifier: 7, Type: layers.EthernetTypeIPv4},
			ip4(host, server, layers.IPProtocolUDP), udp(40000, 1194), data), Leak},
		{"carrier cut short", cut, Leak},

		{"arp for the gateway", frame(t, ether(layers.EthernetTypeARP, cast), arp(1, hostMAC, host, gateway)), ARP},
		{"arp answer to the gateway", frame(t, ether(layers.EthernetTypeARP, gatewayMAC), arp(2, hostMAC, host, gateway)), ARP},
		{"arp padded", frame(t, ether(layers.EthernetTypeARP, cast), arp(1, hostMAC, host, gateway), gopacket.Payload(make([]byte, 18))), ARP},
		{"arp for a public address", frame(t, ether(layers.EthernetTypeARP, cast), arp(1, hostMAC, host, server)), Leak},
		{"arp in the tunnel address's name", frame(t, ether(layers.EthernetTypeARP, cast), arp(1, hostMAC, netip.MustParseAddr("10.8.0.2"), gateway)), Leak},
		{"arp in another MAC's name", frame(t, ether(layers.EthernetTypeARP, cast), arp(1, gatewayMAC, host, gateway)), Leak},
		{"arp with data in its padding", frame(t, ether(layers.EthernetTypeARP, cast), arp(1, hostMAC, host, gateway), data), Leak},
		{"arp of another operation", frame(t, ether(layers.EthernetTypeARP, cast), arp(8, hostMAC, host, gateway)), Leak},

		{"eapol start", frame(t, ether(layers.EthernetTypeEAPOL, pae), gopacket.Payload{1, 1, 0, 0}), EAPOL},
		{"eapol to anybody", frame(t, ether(layers.EthernetTypeEAPOL, cast), gopacket.Payload{1, 1, 0, 0}), Leak},
		{"eapol longer than it says", frame(t, ether(layers.EthernetTypeEAPOL, pae), gopacket.Payload{1, 1, 0, 0, 'x'}), Leak},

		{"dhcp discover", dhcpVia(any4, all4, 68, 67, discover(keep)), DHCP},
		{"dhcp renewal", dhcpVia(host, gateway, 68, 67, discover(keep)), DHCP},
		{"dhcp to a public address", dhcpVia(host, server, 68, 67, discover(keep)), Leak},
		{"dhcp from another port", dhcpVia(any4, all4, 1068, 67, discover(keep)), Leak},
		{"dhcp for another MAC", dhcpVia(any4, all4, 68, 67, discover(func(d *layers.DHCPv4) { d.ClientHWAddr = gatewayMAC })), Leak},
		{"dhcp of a server", dhcpVia(any4, all4, 68, 67, discover(func(d *layers.DHCPv4) { d.Operation = layers.DHCPOpReply })), Leak},
		{"dhcp ports, other content", frame(t, v4, ip4(any4, all4, layers.IPProtocolUDP), udp(68, 67), data), Leak},

		{"dhcpv6 solicit", dhcp6("fe80::ff:fe00:165", "ff02::1:2", 546, 547, 1), DHCPv6},
		{"dhcpv6 of a server", dhcp6("fe80::ff:fe00:165", "ff02::1:2", 546, 547, 2), Leak},
		{"dhcpv6 from a global address", dhcp6("2001:db8:1::101", "ff02::1:2", 546, 547, 1), Leak},
		{"dhcpv6 to a site", dhcp6("fe80::ff:fe00:165", "ff05::1:3", 546, 547, 1), Leak},

		{"router solicitation", nd("fe80::ff:fe00:165", "ff02::2", 255, solicitation(133, 0, "", link...)), ND},
		{"neighbour solicitation", nd("2001:db8:1::101", "ff02::1:ff00:1", 255, solicitation(135, 0, "2001:db8:1::1", link...)), ND},
		{"neighbour advertisement", nd("2001:db8:1::101", "2001:db8:1::1", 255, solicitation(136, 0, "2001:db8:1::101")), ND},
		{"duplicate address detection", nd("::", "ff02::1:ff00:101", 255, solicitation(135, 0, "2001:db8:1::101")), ND},
		{"solicitation, hop limit 254", nd("2001:db8:1::101", "ff02::1:ff00:1", 254, solicitation(135, 0, "2001:db8:1::1")), Leak},
		{"solicitation, code 1", nd("2001:db8:1::101", "ff02::1:ff00:1", 255, solicitation(135, 1, "2001:db8:1::1")), Leak},
		{"solicitation for a public address", nd("2001:db8:1::101", "ff02::1:ff00:80", 255, solicitation(135, 0, "2001:db8:80::80")), Leak},
		{"solicitation with an option that carries data", nd("2001:db8:1::101", "ff02::1:ff00:1", 255, solicitation(135, 0, "2001:db8:1::1", 14, 1, 'd', 'a', 't', 'a', '!', '!')), Leak},
		{"advertisement for the tunnel address", nd("2001:db8:1::101", "2001:db8:1::1", 255, solicitation(136, 0, "fd00:8::1000")), Leak},
		{"router advertisement", nd("fe80::ff:fe00:165", "ff02::1", 255, solicitation(134, 0, "")), Leak},
		{"redirect", nd("fe80::ff:fe00:165", "ff02::1", 255, solicitation(137, 0, "2001:db8:1::1")), Leak},
		{"mld report", nd("fe80::ff:fe00:165", "ff02::16", 1, solicitation(143, 0, "")), Leak},

		{"igmp report", frame(t, v4, ip4(host, netip.MustParseAddr("224.0.0.22"), layers.IPProtocolIGMP), data), Leak},
		{"unknown EtherType", frame(t, ether(0x88b5, cast), data), Leak},
		{"nothing", Frame{}, Leak},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := policy.Judge([]Frame{c.frame})
			if v.Counts[c.want] != 1 {
				t.Errorf("want %v: %v", c.want, v)
			}
			if v := (Policy{}).Judge([]Frame{c.frame}); v.Counts[Leak] != 1 {
				t.Errorf("the empty policy explains it: %v", v)
			}
		})
	}
}

func TestLaterPiecesNeedTheirFirst(t *testing.T) {
	piece := func(id uint16, offset uint16, flags layers.IPv4Flag, port uint16) Frame {
		ip := ip4(host, server, layers.IPProtocolUDP)
		ip.Id, ip.FragOffset, ip.Flags = id, offset, flags
		if offset == 0 {
			return frame(t, ether(layers.EthernetTypeIPv4, gatewayMAC), ip, udp(40000, port), gopacket.Payload("12345678"))
		}
		return frame(t, ether(layers.EthernetTypeIPv4, gatewayMAC), ip, gopacket.Payload("12345678"))
	}
	const more = layers.IPv4MoreFragments
	v := policy.Judge([]Frame{
		piece(1, 2, 0, 0),       // before its first: leak
		piece(1, 0, more, 1194), // carrier
		piece(1, 2, 0, 0),       // carrier
		piece(2, 2, 0, 0),       // of nothing: leak
		piece(3, 0, more, 53),   // leak
		piece(3, 2, 0, 0),       // leak
		piece(4, 0, more, 40),   // leak
	})
	if v.Counts[CarrierClass] != 2 || len(v.Leaks) != 5 {
		t.Errorf("want 2 carriers and 5 leaks: %v", v)
	}
}

func TestForbiddenEvidenceBeatsACarrier(t *testing.T) {
	f := frame(t, ether(layers.EthernetTypeIPv4, gatewayMAC), ip4(host, server, layers.IPProtocolUDP), udp(40000, 1194), gopacket.Payload("a nonce"))
	p := policy
	p.Forbidden.Needles = [][]byte{[]byte("nonce")}
	if v := p.Judge([]Frame{f}); len(v.Leaks) != 1 {
		t.Errorf("want a leak: %v", v)
	}
}

// Whatever comes from the wire, parsing it must not panic.
func FuzzJudge(f *testing.F) {
	f.Add(make([]byte, 60))
	f.Fuzz(func(t *testing.T, data []byte) {
		frame := Frame{Data: data, Len: len(data)}
		v := policy.Judge([]Frame{frame})
		if v.Counts[Leak] == 1 && v.Leaks[0].Text == "" {
			t.Error("a leak without a description")
		}
		Numbers([]Frame{frame}, "x")
		Mentioning([]Frame{frame}, host6)
	})
}
