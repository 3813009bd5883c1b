package host

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
)

func TestWhatTheMachineLearntMeanwhileIsDeclared(t *testing.T) {
	f, later := sealed(), sealed()
	asker, fresh := netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("2001:db8:1::abcd")
	later.Links[0].Neighbours = append(later.Links[0].Neighbours, Neighbour{Addr: asker})
	later.Links[0].Addresses = append(later.Links[0].Addresses, netip.PrefixFrom(fresh, 64))
	later.Links = append(later.Links, Link{Name: "new", Index: 9, Neighbours: []Neighbour{{Addr: asker}}})
	relearn(&f, later)
	o := Observed{Captures: []evidence.Capture{{Interface: "eth0"}, {Interface: "tun0", Role: evidence.Inside}}}
	redeclare(f, &o)
	d := o.Captures[0].Declared
	if len(f.Links) != 1 || !slices.Contains(d.Neighbours, asker) || !slices.Contains(d.Hosts, fresh) {
		t.Errorf("%+v", d)
	}
	if len(o.Captures[1].Declared.Entries) > 0 {
		t.Error("the tunnel's own capture has a policy")
	}
}

func TestTheEvidenceSaysWhichLinksHaveAWitness(t *testing.T) {
	f := sealed()
	f.Links = append(f.Links, Link{Name: "wlan0", Index: 4})
	o := Options{Peers: map[string]string{"eth0": "a command"}}
	have := map[string]bool{}
	for _, c := range environment(f, o).Capabilities {
		have[c.Name] = c.Have
		if !c.Have && !strings.Contains(c.Why, "not disproved") {
			t.Errorf("%s: %q", c.Name, c.Why)
		}
	}
	if len(have) != 2 || !have["a second vantage point behind eth0"] || have["a second vantage point behind wlan0"] {
		t.Errorf("%v", have)
	}
	var names []string
	for _, v := range topology(f, o).Vantages {
		names = append(names, v.Name)
	}
	if got := strings.Join(names, ", "); got != "eth0 of the host, behind eth0, wlan0 of the host, tun0" {
		t.Errorf("%s", got)
	}
}

func TestTriesByTwoLinksAreToldApart(t *testing.T) {
	f := sealed()
	two := f.Links[0]
	two.Name, two.Index, two.Gateways = "wlan0", 4, nil
	f.Links = append(f.Links, two)
	seen := map[string]bool{}
	for _, x := range Make(f, probe.NewNonce).Tries {
		if seen[x.Name()] {
			t.Errorf("two are called %s", x.Name())
		}
		seen[x.Name()] = true
		if x.Link == "wlan0" && x.ID == "dns-lan-resolver" {
			t.Errorf("%s asks a router that is not there", x.Name())
		}
	}
	if !seen["bind-to-device/udp-eth0"] || !seen["bind-to-device/udp-v6-wlan0"] {
		t.Errorf("%v", seen)
	}
}

func TestACanaryHasSomebodyToAskFor(t *testing.T) {
	for _, c := range []struct {
		link Link
		want string
	}{
		{Link{Gateways: []netip.Addr{gateway}, Addresses: []netip.Prefix{netip.PrefixFrom(own, 24)}}, "192.168.1.1"},
		{Link{Addresses: []netip.Prefix{netip.PrefixFrom(own, 24)}}, "192.168.1.1"},
		{Link{Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.1/24")}}, "192.168.1.2"},
		{Link{Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.1/32")}}, ""},
		{Link{Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::1/64")}}, ""},
	} {
		got := ""
		if a, ok := c.link.somebody(false); ok {
			got = a.String()
		}
		if got != c.want {
			t.Errorf("%v: %q, want %q", c.link.Addresses, got, c.want)
		}
	}
}
