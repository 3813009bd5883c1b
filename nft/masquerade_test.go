package nft_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/rules"
)

// The masquerade's text and what goes by netlink are the same to the system's
// nft; it comes and goes beside the seal, and neither touches the other.
func TestMasqueradeListsAsItsTextAndStaysBesideTheSeal(t *testing.T) {
	conn := open(t)
	table := func() string {
		all := run(t, "nft", "--stateless", "list", "ruleset")
		i := strings.Index(all, "table inet "+rules.MasqueradeTable+" {")
		if i < 0 {
			return ""
		}
		return all[i : i+strings.Index(all[i:], "\n}")]
	}
	both := []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24"), netip.MustParsePrefix("10.9.0.0/16"), netip.MustParsePrefix("fd00:8::/64")}
	for _, m := range []rules.Masquerade{
		{Device: "own0", ListenPort: 51820},
		{Device: "own0", ListenPort: 51820, Inside: both[:1]},
		{Device: "own0", ListenPort: 1194, Inside: both, Services: []uint16{8080}},
	} {
		script(t, m.Text())
		byText := table()
		if err := conn.Unmasquerade(); err != nil {
			t.Fatal(err)
		}
		if got := table(); got != "" {
			t.Fatalf("still there: %s", got)
		}
		for range 2 { // in the place of what is there
			if err := conn.Masquerade(m); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(byText, table()); diff != "" || !strings.Contains(byText, "port-shadow") {
			t.Errorf("text (-) and netlink (+) list differently:\n%s", diff)
		}
		if _, err := conn.Replace(build(t, policy())); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(byText, table()); diff != "" {
			t.Errorf("the seal changed it:\n%s", diff)
		}
		if err := conn.Remove(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(byText, table()); diff != "" {
			t.Errorf("opening the seal changed it:\n%s", diff)
		}
	}
	if err := conn.Masquerade(rules.Masquerade{}); err == nil {
		t.Error("one without a device was put in")
	}
	for range 2 {
		if err := conn.Unmasquerade(); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
}
