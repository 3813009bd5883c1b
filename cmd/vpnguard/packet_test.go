package main

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/rules"
)

func TestParsePacketReadsItsGrammar(t *testing.T) {
	ordinary := rules.Packet{Socket: true, SrcOnOut: true, SrcReachableByIn: true, State: rules.CTNew, HopLimit: 64}
	for text, change := range map[string]func(*rules.Packet){
		"out eth0 udp 8.8.8.8:53 uid 1000": func(p *rules.Packet) {
			p.Out, p.Proto, p.Dst, p.DstPort, p.UID = "eth0", rules.ProtoUDP, netip.MustParseAddr("8.8.8.8"), 53, 1000
		},
		"frame eth0 icmp 2001:db8::1": func(p *rules.Packet) {
			p.Path, p.Out, p.Socket, p.Proto, p.Type, p.Dst = rules.RawFrame, "eth0", false, rules.ProtoICMPv6, 128, netip.MustParseAddr("2001:db8::1")
		},
		"in eth0 tcp 192.168.1.2:22 from 192.168.1.1:5000 established": func(p *rules.Packet) {
			p.Path, p.In, p.Socket, p.DstLocal, p.DstOnIn = rules.ToHost, "eth0", false, true, true
			p.Proto, p.Dst, p.DstPort = rules.ProtoTCP, netip.MustParseAddr("192.168.1.2"), 22
			p.Src, p.SrcPort, p.State = netip.MustParseAddr("192.168.1.1"), 5000, rules.CTEstablished
		},
		"forward guest0 udp 9.9.9.9:1 to eth0 mark 0x51 reply": func(p *rules.Packet) {
			p.Path, p.In, p.Out, p.Socket, p.Mark, p.Reply = rules.Forwarded, "guest0", "eth0", false, 0x51, true
			p.Proto, p.Dst, p.DstPort = rules.ProtoUDP, netip.MustParseAddr("9.9.9.9"), 1
		},
	} {
		want := ordinary
		change(&want)
		got, err := parsePacket(text)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	}
}

func TestParsePacketRefusesTheRest(t *testing.T) {
	for _, text := range []string{"", "up eth0 udp 8.8.8.8:53", "out eth0 sctp 8.8.8.8:53", "out eth0 udp 8.8.8.8", "out eth0 udp", "out eth0 icmp x",
		"out eth0 udp 8.8.8.8:53 uid", "out eth0 udp 8.8.8.8:53 uid -1", "out eth0 udp 8.8.8.8:53 loudly", "forward a udp 1.1.1.1:1 to", "out eth0 udp 8.8.8.8:53 from x"} {
		if p, err := parsePacket(text); err == nil {
			t.Errorf("%q is read as %+v", text, p)
		}
	}
}
