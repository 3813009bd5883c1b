package nft

import (
	"os/exec"
	"slices"
	"testing"

	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// Somebody adds a chain to our table after it was read and before the commit:
// a commit by what was read would leave the chain there.
func TestReplaceStartsAgainIfTheRulesetChangedMeanwhile(t *testing.T) {
	conn, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Remove()
		_ = conn.Close()
	})
	rs, err := rules.Build(rules.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Replace(rs); err != nil {
		t.Fatal(err)
	}
	tables, err := lower.Lower(rs)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	err = conn.transact(list, func(have Listing) error {
		if tried++; tried == 1 {
			out, err := exec.Command("nft", "add chain inet vpnguard late { type filter hook output priority -500; policy accept; }").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		return conn.queueReplace(have, tables)
	})
	if err != nil || tried != 2 {
		t.Errorf("after %d tries: %v", tried, err)
	}
	now, err := conn.List()
	if err != nil {
		t.Fatal(err)
	}
	if drift := now.Compare(rs); len(drift) > 0 {
		t.Errorf("the foreign chain is left: %v", drift)
	}
	if slices.ContainsFunc(now.Tables[0].Chains, func(c Chain) bool { return c.Name == "late" }) {
		t.Error("the foreign chain is listed")
	}
}
