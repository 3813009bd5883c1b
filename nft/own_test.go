package nft_test

import (
	"errors"
	"os/exec"
	"testing"

	"github.com/vpnguard/vpnguard/nft"
)

// edits are what others do to tables; each must be refused or do nothing.
var edits = []string{
	"flush table inet vpnguard", "delete table inet vpnguard", "delete table netdev vpnguard", "flush chain inet vpnguard output",
	"insert rule inet vpnguard output accept", "add chain inet vpnguard output { policy accept; }",
	"add table inet vpnguard { flags dormant; }", "delete element inet vpnguard servers_ip4 { 203.0.113.10 }",
}

func refusesEdits(t *testing.T, conn *nft.Conn, when string) {
	t.Helper()
	before, err := conn.List()
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Tables) != 2 || !before.Owned() {
		t.Fatalf("%s: %d tables, owned %t", when, len(before.Tables), before.Owned())
	}
	for _, e := range edits {
		if out, err := exec.Command("nft", e).CombinedOutput(); err == nil {
			t.Errorf("%s: nft %q was not refused: %s", when, e, out)
		}
	}
	if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Errorf("%s: flush ruleset: %s", when, out)
	}
	after, err := conn.List()
	if err != nil || after.Fingerprint() != before.Fingerprint() {
		t.Errorf("%s: the tables are not what they were: %v", when, err)
	}
}

func own(t *testing.T, conn *nft.Conn) {
	t.Helper()
	if err := conn.Own(); err != nil {
		t.Fatal(err)
	}
}

func TestOwnedTablesRefuseOthersAndOutliveTheirOwner(t *testing.T) {
	first := open(t)
	other, err := nft.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	// Ordinary tables become owned ones; the control: those can be edited.
	if _, err := first.Replace(build(t, policy())); err != nil {
		t.Fatal(err)
	}
	run(t, "nft", "flush", "chain", "inet", "vpnguard", "output")
	own(t, first)
	if _, err := first.Replace(build(t, policy())); err != nil {
		t.Fatal(err)
	}
	refusesEdits(t, first, "while the owner lives")
	if _, err := other.Replace(build(t, policy())); !errors.Is(err, nft.ErrOwned) {
		t.Errorf("another connection replaced them: %v", err)
	}
	if err := other.Remove(); !errors.Is(err, nft.ErrOwned) {
		t.Errorf("another connection removed them: %v", err)
	}
	last, err := first.List()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// An orphan decides as before. It is adopted by who wants to own, and can be
	// changed by who does not.
	before, err := other.List()
	if err != nil || before.Owned() || before.Fingerprint() != last.Fingerprint() {
		t.Fatalf("after the owner's end: %d tables, owned %t, %v", len(before.Tables), before.Owned(), err)
	}
	if have, err := other.Replace(build(t, policy())); err != nil || have.Owned() {
		t.Fatalf("replaced by who does not own: owned %t, %v", have.Owned(), err)
	}
	own(t, other)
	bare := policy()
	bare.Wires = nil
	have, err := other.Replace(build(t, bare))
	if err != nil || len(have.Tables) != 1 || !have.Owned() {
		t.Fatalf("adopted: owned %t, %v", have.Owned(), err)
	}
	if have, err = other.Replace(build(t, policy())); err != nil || !have.Owned() {
		t.Fatalf("a table beside an owned one: owned %t, %v", have.Owned(), err)
	}
	refusesEdits(t, other, "after adoption")
	if err := other.Remove(); err != nil {
		t.Fatal(err)
	}
	if have, err = other.List(); err != nil || len(have.Tables) != 0 {
		t.Errorf("%d tables after removal, %v", len(have.Tables), err)
	}
}
