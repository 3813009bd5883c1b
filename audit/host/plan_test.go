package host

import (
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/lab/probe"
)

func TestEveryProbeIsKnownAndGoesToNobody(t *testing.T) {
	documentation := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), // RFC 5737, RFC 3849
		netip.MustParsePrefix("233.252.0.0/24"), netip.MustParsePrefix("ff05::db8:0:0/96"), // RFC 6676
	}
	f := opened()
	f.Guard.Carriers = sealed().Guard.Carriers
	p := Make(f, probe.NewNonce)
	if len(p.Tries) < 45 || len(p.Tries) > 80 {
		t.Errorf("%d probes", len(p.Tries))
	}
	names := map[string]bool{}
	for _, x := range p.Tries {
		if names[x.Name()] {
			t.Errorf("two tries are called %s", x.Name())
		}
		names[x.Name()] = true
		if _, err := catalogue.Find(x.ID); (err != nil) != x.Innocent {
			t.Errorf("%s: %v", x.Name(), err)
		}
		a := x.Order.Target
		ok := !a.IsValid() || a == gateway
		for _, d := range documentation {
			ok = ok || d.Contains(a)
		}
		if !ok {
			t.Errorf("%s goes to %s", x.Name(), a)
		}
	}
}

func TestASplitSessionIsTriedWhereItClosesAnything(t *testing.T) {
	ids := func(f Facts) map[string]bool {
		all := map[string]bool{}
		for _, x := range Make(f, probe.NewNonce).Tries {
			all[x.ID] = true
		}
		return all
	}
	for _, c := range []struct {
		name               string
		f                  Facts
		device, dns, other bool
	}{
		{"sealed", sealed(), true, true, true},
		{"open", opened(), true, true, false},
		{"split", split(), false, false, true},
		{"split with resolvers", split(tunnelAddr), false, true, true},
	} {
		got := ids(c.f)
		if got["bind-to-device"] != c.device || got["dns-lan-resolver"] != c.dns || got["port-fail"] != c.other {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestOrdinaryProbesNeverRunAsTheCarriersOwner(t *testing.T) {
	f := sealed()
	f.Guard.UIDs = []uint32{0, 65534, 65533}
	if u := Make(f, probe.NewNonce).User; u != 65532 {
		t.Errorf("they run as uid %d", u)
	}
}
