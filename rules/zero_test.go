package rules_test

import (
	"testing"

	"github.com/vpnguard/vpnguard/rules"
)

// The zero Policy is the strictest: the list of what passes it is closed.
func TestZeroPolicyPassesLinkUpkeepOnly(t *testing.T) {
	fenced := build(t, rules.Policy{Wires: []rules.Wire{{Name: "eth0", Index: 2}}})
	bare := build(t, rules.Policy{})
	if _, ok := bare.Table(rules.Netdev); ok {
		t.Error("the zero policy has a fence without a wire")
	}
	passing := []rules.Packet{
		udp("lo", "127.0.0.1:1", "127.0.0.1:2"),
		arrives(udp("lo", "127.0.0.1:1", "127.0.0.1:2")),
		arp("eth0", "192.168.1.101", "192.168.1.1"),
		{Path: rules.RawFrame, Out: "eth0", Ether: 0x888e},
		dhcp("0.0.0.0:68", "255.255.255.255:67", 1),
		arrives(dhcp("192.168.1.1:67", "255.255.255.255:68", 2)),
		udp("eth0", "[fe80::2]:546", "[ff02::1:2]:547"),
		arrives(udp("eth0", "[fe80::1]:547", "[fe80::2]:546")),
		nd("eth0", "fe80::2", "ff02::2", 133),
		nd("eth0", "fe80::2", "fe80::1", 135),
		nd("eth0", "fe80::2", "fe80::1", 136),
		arrives(nd("eth0", "fe80::1", "ff02::1", 134)),
		arrives(nd("eth0", "fe80::1", "fe80::2", 135)),
		arrives(nd("eth0", "fe80::1", "fe80::2", 136)),
	}
	for _, p := range passing {
		if d := fenced.Eval(p); !d.Verdict.Passes() {
			t.Errorf("link upkeep is refused by %s: %+v", d, p)
		}
	}
	refused := 0
	for _, s := range sights() {
		p := s.packet
		upkeep := p.DHCPOp != 0 || p.Type >= 133 && p.Type <= 136 || p.SrcPort == 546 || p.DstPort == 546 || p.Ether != 0
		if upkeep || p.Out == "lo" || p.In == "lo" {
			continue
		}
		refused++
		if d := fenced.Eval(p); d.Verdict.Passes() {
			t.Errorf("%s passes by %s", s.name, d)
		}
		if p.Path == rules.RawFrame {
			continue // no fence, and no inet hook sees it
		}
		if d := bare.Eval(p); d.Verdict.Passes() {
			t.Errorf("without a fence %s passes by %s", s.name, d)
		}
	}
	if refused < 100 {
		t.Errorf("only %d packets were tried", refused)
	}
}

func TestZeroVerdictDrops(t *testing.T) {
	var v rules.Verdict
	if v != rules.Drop || v.Passes() || v.String() != "drop" {
		t.Errorf("the zero verdict is %s", v)
	}
	for _, v := range []rules.Verdict{rules.RejectTCP, rules.RejectOther} {
		if v.Passes() {
			t.Errorf("%s passes", v)
		}
	}
	var p rules.Profile
	if p != rules.Full || p.String() != "full" || rules.Split.String() != "split" {
		t.Errorf("the zero profile is %s", p)
	}
}
