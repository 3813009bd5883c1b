package wire

import (
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

func TestAPermitTakesItsFlowAndNothingWider(t *testing.T) {
	p := policy
	p.Permits = []Permit{
		{To: netip.MustParsePrefix("192.168.1.0/24"), Proto: UDP, DstPort: 631},
		{To: netip.MustParsePrefix("224.0.0.0/4"), Extended: true},
		{From: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")}, To: netip.MustParsePrefix("0.0.0.0/0")},
	}
	datagram := func(from, to string, port uint16, change func(*layers.IPv4)) Frame {
		ip := ip4(netip.MustParseAddr(from), netip.MustParseAddr(to), layers.IPProtocolUDP)
		change(ip)
		return frame(t, ether(layers.EthernetTypeIPv4, gatewayMAC), ip, udp(40001, port), gopacket.Payload("x"))
	}
	plain := func(*layers.IPv4) {}
	options := func(ip *layers.IPv4) {
		ip.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	}
	first := func(ip *layers.IPv4) { ip.Id, ip.Flags = 7, layers.IPv4MoreFragments }
	later := func(ip *layers.IPv4) { ip.Id, ip.FragOffset = 7, 2 }
	laterOptions := func(ip *layers.IPv4) { later(ip); options(ip) }
	for _, c := range []struct {
		name  string
		frame Frame
		want  int // permit, or -1 for a leak
	}{
		{"the flow", datagram("192.168.1.101", "192.168.1.9", 631, plain), 0},
		{"its first piece", datagram("192.168.1.101", "192.168.1.9", 631, first), 0},
		{"a later piece", datagram("192.168.1.101", "192.168.1.9", 9, later), 0},
		{"a later piece with options", datagram("192.168.1.101", "192.168.1.9", 9, laterOptions), -1},
		{"a later piece of another", datagram("192.168.1.101", "192.168.1.8", 9, later), -1},
		{"another port", datagram("192.168.1.101", "192.168.1.9", 632, plain), -1},
		{"another destination", datagram("192.168.1.101", "192.168.2.9", 631, plain), -1},
		{"another sender", datagram("192.168.1.7", "192.168.1.9", 631, plain), -1},
		{"options", datagram("192.168.1.101", "192.168.1.9", 631, options), -1},
		{"options where they may be", datagram("192.168.1.101", "224.0.0.22", 9, options), 1},
		{"senders by prefix", datagram("10.8.0.2", "8.8.8.8", 9, plain), 2},
		{"none of the senders by prefix", datagram("10.9.0.2", "8.8.8.8", 9, plain), -1},
	} {
		got := p.Explain([]Frame{datagram("192.168.1.101", "192.168.1.9", 631, first), c.frame})[1]
		if want := (Explanation{Allowed, c.want}); c.want >= 0 && got != want || c.want < 0 && got.Class != Leak {
			t.Errorf("%s: %v, want permit %d", c.name, got, c.want)
		}
	}
	if got := (Policy{MACs: policy.MACs, Hosts: policy.Hosts, Permits: []Permit{{}}}).Explain([]Frame{datagram("192.168.1.101", "192.168.1.9", 631, plain)}); got[0].Class != Leak {
		t.Errorf("the zero permit takes a frame: %v", got)
	}
}

func TestAFlowIsNamedWithoutPorts(t *testing.T) {
	a := FlowText(frame(t, ether(layers.EthernetTypeIPv4, gatewayMAC), ip4(host, server, layers.IPProtocolUDP), udp(1, 2), gopacket.Payload("x")))
	b := FlowText(frame(t, ether(layers.EthernetTypeIPv4, gatewayMAC), ip4(host, server, layers.IPProtocolUDP), udp(3, 4), gopacket.Payload("yz")))
	if want := "udp 192.168.1.101 > 203.0.113.10"; a != want || b != want {
		t.Errorf("%q and %q, want %q", a, b, want)
	}
	if got := FlowText(frame(t, ether(layers.EthernetTypeARP, gatewayMAC), arp(1, hostMAC, host, gateway))); got != "arp 1 192.168.1.101 > 192.168.1.1" {
		t.Errorf("ARP is %q", got)
	}
	if got := FlowText(Frame{Data: []byte{1}}); got != "malformed frame" {
		t.Errorf("a byte is %q", got)
	}
}
