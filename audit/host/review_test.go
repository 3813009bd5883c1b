package host

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/wire"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/survey"
)

func TestAReviewFindsWhatIsOpenAsThingsAre(t *testing.T) {
	with := func(f Facts, change func(*Facts)) Facts { change(&f); return f }
	for _, c := range []struct {
		name string
		f    Facts
		id   string
		want verdict.Verdict // empty: no case
	}{
		{"nothing", sealed(), "mptcp-subflow", ""},
		{"an MPTCP endpoint of an open host", with(opened(), func(f *Facts) { f.Survey.MPTCP = []netip.Addr{own} }), "mptcp-subflow", verdict.Exposed},
		{"the same of a sealed one", with(sealed(), func(f *Facts) { f.Survey.MPTCP = []netip.Addr{own} }), "mptcp-subflow", verdict.NotTested},
		{"a resolver's socket", with(opened(), func(f *Facts) { f.Survey.Files.Sockets = []string{"/run/nscd/socket"} }), "dns-unix-socket", verdict.Exposed},
		{"a reload that flushes, sealed", with(sealed(), func(f *Facts) { f.Survey.Files.Reload = survey.Reload{File: "/etc/nftables.conf", Enabled: true} }), "ruleset-flush", verdict.Exposed},
		{"a reload that flushes, not enabled", with(sealed(), func(f *Facts) { f.Survey.Files.Reload = survey.Reload{File: "/etc/nftables.conf"} }), "ruleset-flush", verdict.NotTested},
		{"a macvlan child, fenced", with(sealed(), child), "macvlan-ipvlan", verdict.NotTested},
		{"a macvlan child without fences", with(with(sealed(), child), func(f *Facts) { f.Guard.Notes = []string{`no fences (fence = "off"): more`} }), "macvlan-ipvlan", verdict.Exposed},
		{"drift", with(sealed(), func(f *Facts) { f.Guard.Drift = []string{"chain output is gone"} }), "ruleset-flush", verdict.Exposed},
		{"root as the owner", with(sealed(), func(f *Facts) { f.Guard.Exposed = []string{"root's other programs may send to the endpoints"} }), "endpoint-shared-uid", verdict.Exposed},
		{"a service that is allowed", with(sealed(), func(f *Facts) { f.Guard.Exposed = []string{"inbound tcp/22"} }), "inbound-lan-services", verdict.NotTested},
		{"a listener of an open host", with(opened(), listens), "inbound-lan-services", verdict.Exposed},
		{"a listener of a sealed one", with(sealed(), listens), "inbound-lan-services", verdict.NotTested},
		{"a listener beside a split session", with(split(), listens), "inbound-lan-services", verdict.NotTested},
		{"an injected route", with(opened(), func(f *Facts) { f.Routes = []netip.Prefix{netip.MustParsePrefix("8.0.0.0/8")} }), "dhcp-opt121", verdict.Exposed},
		{"a client's own route to its server", with(opened(), func(f *Facts) { f.Routes = []netip.Prefix{netip.PrefixFrom(vpn, 32)} }), "port-fail", verdict.Exposed},
		{"a loose knob", with(opened(), func(f *Facts) { f.Guard.Unset = []string{"net/ipv4/conf/eth0/arp_ignore is 0, not 1"} }), "arp-tunnel-ip", verdict.Exposed},
		{"a LAN that took a public network", with(opened(), func(f *Facts) { f.Links[0].Addresses = []netip.Prefix{netip.MustParsePrefix("8.8.8.77/24")} }), "localnet-public-subnet", verdict.Exposed},
		{"an address that tells the card's", with(opened(), func(f *Facts) {
			f.Links[0].Addresses = []netip.Prefix{netip.MustParsePrefix("2001:db8:1::ff:fe00:165/64")}
		}), "ipv6-eui64", verdict.Exposed},
	} {
		cases := Review(c.f)
		i := slices.IndexFunc(cases, func(k evidence.Case) bool { return k.ID == c.id })
		var got verdict.Verdict
		if i >= 0 {
			got = verdict.Case(&cases[i], policy.Policy{}, 1, policy.Waiver{}.Expires).Verdict
		}
		if got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.name, c.id, got, c.want)
		}
	}
}

func child(f *Facts) {
	f.Survey.Links = []survey.Link{{Name: "eth0", Index: 2}, {Name: "v", Index: 3, Kind: "macvlan", Parent: 2}}
}

func listens(f *Facts) { f.Services = []Service{{Port: Port{wire.TCP, 631}, Program: "cupsd"}} }

func TestTwoRemarksOfAKindAreTwoFindings(t *testing.T) {
	f := opened()
	f.Survey.MPTCP = []netip.Addr{own, gateway}
	cases := Review(f)
	i := slices.IndexFunc(cases, func(k evidence.Case) bool { return k.ID == "mptcp-subflow" })
	r := verdict.Case(&cases[i], policy.Policy{}, 1, policy.Waiver{}.Expires)
	if len(r.Findings) != 2 || r.Findings[0].Fingerprint == r.Findings[1].Fingerprint {
		t.Errorf("%+v", r.Findings)
	}
}

func TestWhatCouldNotBeReadIsSaid(t *testing.T) {
	f := sealed()
	f.Survey.Unread = []survey.Unread{{What: "links", Err: errors.New("no")}}
	if all := Unread(f); len(all) != 1 || all[0].Have || all[0].Why != "no" || !strings.Contains(all[0].Name, "links") {
		t.Errorf("%+v", all)
	}
}

func TestEveryClassIsAccountedFor(t *testing.T) {
	cases := Review(opened())
	rest := Rest(cases)
	seen := map[string]int{}
	for _, c := range slices.Concat(cases, rest) {
		seen[c.ID]++
	}
	if len(seen) < 80 {
		t.Errorf("%d classes", len(seen))
	}
	for _, c := range rest {
		if c.NotTested == "" || seen[c.ID] != 1 {
			t.Errorf("%s: %q, %d times", c.ID, c.NotTested, seen[c.ID])
		}
	}
}

func TestFramesAreWatchedWhereTheyLeave(t *testing.T) {
	all := []link.Link{
		{Name: "lo", Index: 1, Kind: "device", Up: true, Loopback: true},
		{Name: "eth0", Index: 2, Kind: "device", Up: true, Master: 5},
		{Name: "eth1", Index: 3, Kind: "device"},
		{Name: "wlan0", Index: 4, Kind: "device", Up: true},
		{Name: "br0", Index: 5, Kind: "bridge", Up: true},
		{Name: "vlan7", Index: 6, Kind: "vlan", Up: true, Parent: 2},
		{Name: "mac0", Index: 7, Kind: "macvlan", Up: true, Parent: 2},
		{Name: "tap0", Index: 8, Kind: "tun", Up: true, Master: 5},
		{Name: "veth1", Index: 9, Kind: "veth", Up: true, Master: 5},
		{Name: "veth0", Index: 10, Kind: "veth", Up: true},
		{Name: "tun0", Index: 11, Kind: "tun", Up: true},
		{Name: "wg0", Index: 12, Kind: "wireguard", Up: true},
		{Name: "ppp0", Index: 13, Kind: "ppp", Up: true},
		{Name: "bond0", Index: 14, Kind: "bond", Up: true},
	}
	var names []string
	for _, l := range Physical(all, []string{"ppp0"}) {
		names = append(names, l.Name)
	}
	if got := strings.Join(names, " "); got != "eth0 wlan0 veth0" {
		t.Errorf("%s", got)
	}
}

func TestEveryFindingOfTheSurveyIsALeakOfTheCatalogue(t *testing.T) {
	for id, s := range surveyed {
		if _, err := catalogue.Find(s.id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, k := range knobIDs {
		if _, err := catalogue.Find(k.id); err != nil {
			t.Errorf("%s: %v", k.word, err)
		}
	}
	for _, k := range flows {
		if _, err := catalogue.Find(k.id); err != nil {
			t.Error(err)
		}
	}
	h := survey.Host{Legacy: []string{"ip filter"}, MPTCP: []netip.Addr{own}, Rules: []survey.Rule{{Mark: 1}},
		Links: []survey.Link{{Name: "docker0", Kind: "bridge", Index: 3}, {Name: "v", Kind: "macvlan", Parent: 2}, {Name: "eth0", Index: 2, Master: 9},
			{Name: "br0", Kind: "bridge", Index: 9, Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::1/64")}}, {Name: "wg0", Kind: "wireguard", Addresses: []netip.Prefix{netip.PrefixFrom(tunnelAddr, 24)}}},
		Listeners: []survey.Listener{{Addr: netip.MustParseAddr("127.0.0.1"), Proto: "udp"}},
		Files: survey.Files{Reload: survey.Reload{File: "/etc/nftables.conf", Enabled: true}, Sockets: []string{"/run/nscd/socket"}, Docker: true,
			Resolv: survey.Resolv{Exists: true, Servers: []netip.Addr{gateway}}, Hosts: []string{"resolve", "mdns4"},
			Connectivity: survey.Connectivity{URI: "http://check.example/"}, Time: []survey.TimeServer{{Addr: gateway}},
			Knobs: map[string]string{"ipv4/conf/default/rp_filter": "2", "ipv4/ip_forward": "1", "bridge/bridge-nf-call-iptables": "1"}}}
	all := survey.Judge(h)
	if len(all) < 15 {
		t.Errorf("only %d findings", len(all))
	}
	for _, f := range all {
		if _, ok := surveyed[f.ID]; !ok {
			t.Errorf("finding %q has no leak", f.ID)
		}
	}
}
