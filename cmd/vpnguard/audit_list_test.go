package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/scenario"
)

func TestAuditListHasEveryLeakAndItsTests(t *testing.T) {
	code, out, _ := called("audit", "list", "--json")
	var got auditListJSON
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitDone || got.Version != 1 {
		t.Fatalf("exit %d, version %d: %v", code, got.Version, err)
	}
	tests := 0
	for i, e := range catalogue.All() {
		if got.Leaks[i].ID != e.ID || got.Leaks[i].Closed != e.Closed {
			t.Errorf("%s is %+v", e.ID, got.Leaks[i])
		}
		tests += len(got.Leaks[i].Variants)
	}
	if tests != len(scenario.List()) {
		t.Errorf("%d tests are listed, want %d", tests, len(scenario.List()))
	}
	_, text, _ := called("audit", "list")
	if n := strings.Count(text, "\n"); n != len(got.Leaks)+1 {
		t.Errorf("%d lines for %d leaks", n, len(got.Leaks))
	}
}

func TestAuditExplainTellsAllOrNamesTheUnknownID(t *testing.T) {
	for _, e := range catalogue.All() {
		code, out, _ := called("audit", "explain", e.ID)
		for _, want := range []string{e.Title, e.Why, e.Packet, e.Closed, e.Limits} {
			if !strings.Contains(out, want) || code != exitDone {
				t.Errorf("%s, exit %d: no %q", e.ID, code, want)
			}
		}
	}
	if code, _, message := called("audit", "explain", "no-such-leak"); code != exitUsage || !strings.Contains(message, `"no-such-leak"`) {
		t.Errorf("exit %d: %s", code, message)
	}
}

// Nothing is started for an order that cannot be carried out.
func TestAWrongAuditIsRefusedBeforeAnythingStarts(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--only", "no-such-leak"}, `no test "no-such-leak"`},
		{[]string{"--only", "boot-window"}, "audit explain boot-window"},
		{[]string{"--format", "papyrus"}, `--format "papyrus"`},
		{[]string{"--format", "json", "--format", "text"}, "share the output"},
		{[]string{"--format", "json="}, `--format "json="`},
		{[]string{"--repeat", "0"}, "--repeat 0"},
		{[]string{"--client", "command"}, "no --client-command"},
		{[]string{"--client", "pigeon"}, "--client"},
		{[]string{"--policy", "/no/such/file"}, "/no/such/file"},
	} {
		if code, _, message := called(append([]string{"audit", "lab"}, c.args...)...); code != exitUsage || !strings.Contains(message, c.want) {
			t.Errorf("%q: exit %d: %s", c.args, code, message)
		}
	}
}

func TestAnAuditEndsAsItsOutcomeSays(t *testing.T) {
	for status, want := range map[gate.Status]int{gate.Clean: exitDone, gate.Found: exitDrift, gate.Inconclusive: exitInconclusive, "": exitInconclusive} {
		code := exitDone
		if err := statusOf(gate.Outcome{Status: status}); err != nil {
			var status exitStatus
			if !errors.As(err, &status) {
				t.Fatal(err)
			}
			code = int(status)
		}
		if code != want {
			t.Errorf("%q ends with %d, want %d", status, code, want)
		}
	}
}
