package lower_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// element is one of an interval set's: a start, or what lies behind an end.
type element struct {
	Key string
	End bool
}

func TestIntervalsAreHalfOpenAndDisjoint(t *testing.T) {
	for _, c := range []struct {
		name string
		list []netip.Prefix
		want []element
	}{
		{"apart", prefixes("10.0.0.0/8", "192.168.0.0/16"), []element{{"10.0.0.0", false}, {"11.0.0.0", true}, {"192.168.0.0", false}, {"192.169.0.0", true}}},
		{"side by side", prefixes("10.0.0.0/9", "10.128.0.0/10", "10.192.0.0/10"), []element{{"10.0.0.0", false}, {"11.0.0.0", true}}},
		{"up to the highest address", prefixes("10.0.0.0/8", "255.255.255.0/24"), []element{{"10.0.0.0", false}, {"11.0.0.0", true}, {"255.255.255.0", false}}},
		{"the highest address itself", prefixes("10.0.0.0/8", "255.255.255.255/32"), []element{{"10.0.0.0", false}, {"11.0.0.0", true}, {"255.255.255.255", false}}},
		{"both halves", prefixes("0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"), []element{{"0.0.0.0", false}}},
		{"IPv6 up to the highest address", prefixes("fc00::/7", "ff00::/8"), []element{{"fc00::", false}, {"fe00::", true}, {"ff00::", false}}},
		{"an address among prefixes", prefixes("10.0.0.1/32", "10.0.1.0/24"), []element{{"10.0.0.1", false}, {"10.0.0.2", true}, {"10.0.1.0", false}, {"10.0.2.0", true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ruleOf(t, rules.Addr{Prefixes: c.list})
			if len(r.Sets) != 1 {
				t.Fatalf("%d sets", len(r.Sets))
			}
			if s := r.Sets[0]; !s.Interval || !s.Anonymous || !s.Constant {
				t.Errorf("the set is not an anonymous constant interval: %+v", s.Set)
			}
			var got []element
			for _, e := range r.Sets[0].Elements {
				a, ok := netip.AddrFromSlice(e.Key)
				if !ok {
					t.Fatalf("key %x", e.Key)
				}
				got = append(got, element{a.String(), e.IntervalEnd})
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

func TestPortRangesEndBehindTheirLastPort(t *testing.T) {
	r := ruleOf(t, rules.Port{Ranges: []rules.PortRange{{First: 137, Last: 138}, {First: 139, Last: 139}, {First: 60000, Last: 65535}}})
	want := []nftables.SetElement{
		{Key: []byte{0, 137}}, {Key: []byte{0, 140}, IntervalEnd: true}, {Key: []byte{0xea, 0x60}},
	}
	if diff := cmp.Diff(want, r.Sets[0].Elements); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

func TestSingleValuesNeedNoInterval(t *testing.T) {
	for name, m := range map[string]rules.Match{
		"addresses": rules.Addr{Prefixes: prefixes("10.0.0.1/32", "10.0.0.2/32")},
		"prefixes":  rules.Addr{Prefixes: prefixes("10.1.0.0/16", "10.2.0.0/16")},
		"ports":     rules.Port{Ranges: []rules.PortRange{{First: 53, Last: 53}, {First: 853, Last: 853}}},
		"protocols": rules.L4{Protos: []uint8{6, 17}},
	} {
		r := ruleOf(t, m)
		if len(r.Sets) != 1 || r.Sets[0].Interval || len(r.Sets[0].Elements) != 2 {
			t.Errorf("%s: %+v", name, r.Sets)
		}
	}
	if r := ruleOf(t, rules.Addr{Prefixes: prefixes("10.0.0.0/8")}); len(r.Sets) != 0 {
		t.Errorf("one prefix needs no set: %+v", r.Sets)
	}
}

func TestTupleKeysArePaddedToRegisters(t *testing.T) {
	four, _ := endpoint.Parse("203.0.113.10:1194/udp")
	six, _ := endpoint.Parse("[2001:db8::1]:443/tcp")
	rs := rules.Ruleset{Tables: []rules.Table{{Family: rules.Inet, Name: "vpnguard", Sets: []rules.Set{
		{Name: "a", Endpoints: []endpoint.Endpoint{four}}, {Name: "b", IPv6: true, Endpoints: []endpoint.Endpoint{six}},
	}}}}
	tables, err := lower.Lower(rs)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]byte{
		{203, 0, 113, 10, 17, 0, 0, 0, 0x04, 0xaa, 0, 0},
		{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0x01, 0xbb, 0, 0},
	}
	for i, s := range tables[0].Sets {
		if diff := cmp.Diff(want[i], s.Elements[0].Key); diff != "" || int(s.KeyType.Bytes) != len(want[i]) {
			t.Errorf("set %q, key of %d bytes: %s", s.Name, s.KeyType.Bytes, diff)
		}
	}
}
