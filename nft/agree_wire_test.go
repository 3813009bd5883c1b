package nft_test

import (
	"testing"

	"github.com/vpnguard/vpnguard/rules"
)

// A wire that vanishes and comes back under its name is fenced from its first
// frame where the kernel keeps chains by name (Linux 6.16), and open before
// the guard has seen it on older ones.
func TestAFenceComesBackWithItsWire(t *testing.T) {
	b := newBench(t)
	conn := open(t)
	frame := trial{packet: rules.Packet{Path: rules.RawFrame, Out: "vg0", Ether: 0x88b5}}
	if ok, err := b.try(frame); !ok || err != nil {
		t.Fatalf("control: arrived %v, %v", ok, err)
	}
	rs := build(t, rules.Policy{Wires: []rules.Wire{{Name: "vg0", Index: 10}}})
	if _, err := conn.Replace(rs); err != nil {
		t.Fatal(err)
	}
	if ok, _ := b.try(frame); ok {
		t.Fatal("the fence is open")
	}
	run(t, "ip", "link", "del", "vg0")
	run(t, "ip", "link", "add", "vg0", "type", "veth", "peer", "name", "vg1")
	run(t, "ip", "link", "set", "vg0", "up")
	run(t, "ip", "link", "set", "vg1", "up")
	b.carrier("vg0", "vg1")
	b.wire, b.out = b.packetSocket("vg1", ethPAll), b.packetSocket("vg0", 0)
	if ok, _ := b.try(frame); ok != (kernel(t) < 6_16) {
		t.Errorf("by the wire that came back: arrived %v", ok)
	}
	if _, err := conn.Replace(rs); err != nil {
		t.Fatal(err)
	}
	if ok, _ := b.try(frame); ok {
		t.Error("the fence is open after Replace")
	}
}
