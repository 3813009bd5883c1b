package nft_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// What a chain does, in the words of nft -f, and what is read of it.
var foreignChains = []struct {
	name, text string // text is a table inet t
	want       nft.ForeignChain
}{
	{"policy drop", `chain c { type filter hook output priority filter; policy drop; }`,
		nft.ForeignChain{Hook: "output"}},
	{"nothing", `chain c { type filter hook forward priority 10; policy accept; tcp dport 22 accept; }`,
		nft.ForeignChain{Hook: "forward", Priority: 10}},
	{"drop at the end, logged and counted", `chain c { type filter hook input priority -5; tcp dport 22 accept; counter log prefix "x" drop; }`,
		nft.ForeignChain{Hook: "input", Priority: -5, End: "drop"}},
	{"drop with a mark and a named counter", `counter n { packets 0 bytes 0 }
chain c { type filter hook output priority 0; counter name "n" meta mark set 1 ct mark set meta mark drop; }`,
		nft.ForeignChain{Hook: "output", End: "drop"}},
	{"drop above a named limit", `limit l { rate over 1/second }
chain c { type filter hook output priority 0; limit name "l" drop; }`,
		nft.ForeignChain{Hook: "output", Drops: 1}},
	{"drop of a socket's owner", `chain c { type filter hook output priority 0; meta skuid 1000 drop; meta mark & 0xff == 1 drop; ct state != established drop; }`,
		nft.ForeignChain{Hook: "output", Drops: 3}},
	{"reject at the end", `chain c { type filter hook prerouting priority 0; counter reject with icmpx admin-prohibited; }`,
		nft.ForeignChain{Hook: "prerouting", End: "reject"}},
	{"TCP reset needs TCP", `chain c { type filter hook output priority 0; reject with tcp reset; }`,
		nft.ForeignChain{Hook: "output", Drops: 1}},
	{"drops under conditions", `chain c { type filter hook output priority 0; oifname "eth0" ip daddr 10.0.0.0/8 drop; meta mark 1 reject; limit rate 1/second drop; accept; }`,
		nft.ForeignChain{Hook: "output", Drops: 3, End: "accept"}},
	{"what follows an accept is never reached", `chain c { type filter hook output priority 0; accept; drop; }`,
		nft.ForeignChain{Hook: "output", End: "accept"}},
	{"a jump that ends in a drop", `chain end { tcp dport 1 accept; drop; }
chain c { type filter hook output priority 0; jump end; }`,
		nft.ForeignChain{Hook: "output", End: "drop"}},
	{"a jump that comes back", `chain end { tcp dport 1 drop; return; drop; }
chain c { type filter hook output priority 0; policy drop; jump end; jump end; accept; }`,
		nft.ForeignChain{Hook: "output", End: "accept", Drops: 1}},
	{"a goto does not come back", `chain end { tcp dport 1 drop; }
chain c { type filter hook output priority 0; goto end; drop; }`,
		nft.ForeignChain{Hook: "output", Drops: 1}},
	{"a jump under a condition", `chain end { drop; }
chain c { type filter hook output priority 0; oifname "eth0" jump end; }`,
		nft.ForeignChain{Hook: "output"}},
	{"answers are accepted", `chain c { type filter hook input priority 0; policy drop; ct state established,related accept; }`,
		nft.ForeignChain{Hook: "input", Established: true}},
	{"answers are accepted by a map", `chain c { type filter hook input priority 0; policy drop; ct state vmap { established : accept, invalid : drop }; }`,
		nft.ForeignChain{Hook: "input", Established: true}},
	{"answers are accepted in a chain", `chain in { ct state { established, related } accept; }
chain c { type filter hook input priority 0; policy drop; jump in; }`,
		nft.ForeignChain{Hook: "input", Established: true}},
	{"only new flows are accepted", `chain c { type filter hook input priority 0; policy drop; ct state new accept; ct state established drop; ct mark & 2 != 0 accept; }`,
		nft.ForeignChain{Hook: "input", Drops: 1}},
	{"at the ingress of a link", `chain c { type filter hook ingress device "wire0.5" priority 3; drop; }`,
		nft.ForeignChain{Hook: "ingress", Devices: []string{"wire0.5"}, Priority: 3, End: "drop"}},
}

func TestForeignChainsAreReadAsTheyDecide(t *testing.T) {
	conn := open(t)
	t.Cleanup(func() { script(t, "flush ruleset") })
	for _, c := range foreignChains {
		t.Run(c.name, func(t *testing.T) {
			script(t, "table inet t\ndelete table inet t\ntable inet t {\n"+strings.ReplaceAll(c.text, "; ", "\n")+"\n}\n")
			before := list(t)
			got := readForeign(t, conn)
			c.want.Name, c.want.Type = "c", "filter"
			if !strings.Contains(c.text, "policy drop") {
				c.want.Policy = rules.Accept
			}
			if len(got) != 1 || len(got[0].Base) != 1 {
				t.Fatalf("%+v", got)
			}
			if diff := cmp.Diff(c.want, got[0].Base[0]); diff != "" {
				t.Errorf("(-want +got)\n%s%s", diff, before)
			}
			if now := list(t); now != before {
				t.Errorf("reading changed\n%s\nto\n%s", before, now)
			}
		})
	}
}

func TestForeignTablesOfEveryFamilyAreRead(t *testing.T) {
	conn := open(t)
	t.Cleanup(func() { script(t, "flush ruleset") })
	if got := readForeign(t, conn); len(got) != 0 {
		t.Fatalf("without a table: %+v", got)
	}
	if _, err := conn.Replace(build(t, policy())); err != nil {
		t.Fatal(err)
	}
	if got := readForeign(t, conn); len(got) != 0 {
		t.Fatalf("ours are foreign: %+v", got)
	}
	script(t, `
table ip vpnguard { chain o { type nat hook output priority -100; }; }
table ip6 six { chain b { type route hook output priority -150; policy drop; }; chain a { type filter hook input priority 0; }; chain r1 { }; chain r0 { }; }
table arp a { chain i { type filter hook input priority 0; policy drop; }; chain o { type filter hook output priority 0; drop; }; }
table bridge b { chain f { type filter hook forward priority 0; policy drop; }; }
table netdev n { chain e { type filter hook egress devices = { "wire0.5", "wire1.5" } priority 0; policy drop; }; }
table inet asleep { flags dormant; chain o { type filter hook output priority 0; policy drop; }; }
`)
	var got []string
	for _, f := range readForeign(t, conn) {
		for _, b := range f.Base {
			policy := map[rules.Verdict]string{rules.Drop: "drop", rules.Accept: "accept"}[b.Policy]
			got = append(got, strings.Join([]string{f.Family, f.Name, b.Name, b.Type, b.Hook, strings.Join(b.Devices, ","), policy, b.End, strings.Join(f.Regular, ",")}, "|"))
		}
	}
	want := []string{
		"arp|a|i|filter|input||drop||", "arp|a|o|filter|output||accept|drop|",
		"bridge|b|f|filter|forward||drop||",
		"ip|vpnguard|o|nat|output||accept||",
		"ip6|six|a|filter|input||accept||r0,r1", "ip6|six|b|route|output||drop||r0,r1",
		"netdev|n|e|filter|egress|wire0.5,wire1.5|drop||",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// iptables writes nf_tables with expressions of its own.
func TestTablesOfIptablesAreRead(t *testing.T) {
	conn := open(t)
	t.Cleanup(func() { script(t, "flush ruleset") })
	for _, rule := range []string{
		"-P OUTPUT DROP", "-N ufw-user", "-A OUTPUT -j ufw-user", "-A ufw-user -d 10.0.0.0/8 -j REJECT",
		"-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-A INPUT -j LOG", "-A INPUT -j REJECT --reject-with icmp-host-prohibited",
		"-A FORWARD -m conntrack --ctstate INVALID -j DROP",
	} {
		run(t, "iptables-nft", strings.Fields(rule)...)
	}
	got := readForeign(t, conn)
	base := func(name, hook string) nft.ForeignChain {
		return nft.ForeignChain{Name: name, Type: "filter", Hook: hook, Policy: rules.Accept}
	}
	in, out, fwd := base("INPUT", "input"), base("OUTPUT", "output"), base("FORWARD", "forward")
	in.End, in.Established = "reject", true
	out.Policy, out.Drops = rules.Drop, 1
	fwd.Drops = 1
	want := []nft.ForeignTable{{Family: "ip", Name: "filter", Base: []nft.ForeignChain{fwd, in, out}, Regular: []string{"ufw-user"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func readForeign(t *testing.T, conn *nft.Conn) []nft.ForeignTable {
	t.Helper()
	got, err := conn.Foreign()
	if err != nil {
		t.Fatal(err)
	}
	return got
}
