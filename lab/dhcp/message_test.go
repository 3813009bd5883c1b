package dhcp

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestALeaseIsReadAsItWasGiven(t *testing.T) {
	gw := netip.MustParseAddr("192.168.1.1")
	l := Lease{Own: gw, Client: netip.MustParsePrefix("8.8.8.77/24"), Options: map[byte][]byte{
		OptRouter: Addresses(netip.MustParseAddr("8.8.8.8")), OptDNS: Addresses(gw), OptStaticRoutes: Addresses(netip.MustParseAddr("1.1.1.1"), gw),
		OptClassless: Classless(map[netip.Prefix]netip.Addr{netip.MustParsePrefix("128.0.0.0/1"): gw}),
	}}
	ask := message{op: 1, xid: [4]byte{1, 2, 3, 4}, hw: [6]byte{2, 0, 0, 0, 1, 0x65}, options: map[byte][]byte{optKind: {discover}}}
	for _, c := range []struct{ kind, want byte }{{discover, offer}, {request, ack}} {
		ask.options[optKind] = []byte{c.kind}
		a, ok := l.answer(ask.bytes())
		if !ok {
			t.Fatalf("no answer to %d", c.kind)
		}
		got, err := parse(a.bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got.op != 2 || got.xid != ask.xid || got.options[optKind][0] != c.want {
			t.Errorf("answer to %d: %+v", c.kind, got)
		}
		want := []string{
			"interface=eth0", "ip=8.8.8.77", "mask=24", "router=8.8.8.8", "dns=192.168.1.1", "routes=1.1.1.1 192.168.1.1", "staticroutes=128.0.0.0/1 192.168.1.1",
		}
		if diff := cmp.Diff(want, got.environment("eth0")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestClasslessRoutesHaveOnlyTheirSignificantBytes(t *testing.T) {
	gw := netip.MustParseAddr("10.0.0.1")
	for prefix, want := range map[string][]byte{
		"0.0.0.0/0": {0, 10, 0, 0, 1}, "10.17.0.0/16": {16, 10, 17, 10, 0, 0, 1}, "8.8.8.8/32": {32, 8, 8, 8, 8, 10, 0, 0, 1}, "10.128.0.0/9": {9, 10, 128, 10, 0, 0, 1},
	} {
		got := Classless(map[netip.Prefix]netip.Addr{netip.MustParsePrefix(prefix): gw})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", prefix, diff)
		}
		if text := classless(got); text != prefix+" 10.0.0.1" {
			t.Errorf("%s is read as %q", prefix, text)
		}
	}
}

func TestAServerAnswersNothingElse(t *testing.T) {
	l := Lease{Own: netip.MustParseAddr("192.168.1.1"), Client: netip.MustParsePrefix("192.168.1.101/24")}
	for name, m := range map[string]message{
		"an answer":        {op: 2, options: map[byte][]byte{optKind: {discover}}},
		"a release":        {op: 1, options: map[byte][]byte{optKind: {7}}},
		"without its kind": {op: 1, options: map[byte][]byte{}},
	} {
		if _, ok := l.answer(m.bytes()); ok {
			t.Errorf("%s is answered", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(message{op: 1, options: map[byte][]byte{optKind: {discover}, OptClassless: {32, 8, 8, 8, 8, 1, 2, 3, 4}}}.bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parse(data)
		if err != nil {
			return
		}
		m.environment("eth0")
		again, err := parse(m.bytes())
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if diff := cmp.Diff(m.environment("x"), again.environment("x")); diff != "" {
			t.Error(diff)
		}
	})
}
