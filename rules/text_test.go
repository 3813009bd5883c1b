package rules_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/rules"
)

// systemd escapes a hyphen in a slice's name by a backslash; nft takes it as it is.
func TestTextKeepsTheBackslashOfACgroup(t *testing.T) {
	p := full()
	p.Carriers[1].Owner.Cgroup.Path = `system.slice/system-openvpn\x2dclient.slice`
	want := `socket cgroupv2 level 2 "system.slice/system-openvpn\x2dclient.slice" counter accept`
	if text := build(t, p).Text(); strings.Count(text, want) != 2 {
		t.Errorf("no %s in\n%s", want, text)
	}
}

func TestReplacementDeletesOnlyOurTables(t *testing.T) {
	for name, p := range policies() {
		rs := build(t, p)
		head, text, ok := strings.Cut(rs.Replacement(), "table inet vpnguard {")
		want := "add table inet vpnguard\ndelete table inet vpnguard\nadd table netdev vpnguard\ndelete table netdev vpnguard\n"
		if !ok || head != want || "table inet vpnguard {"+text != rs.Text() {
			t.Errorf("%s: replacement begins with\n%s", name, head)
		}
	}
}

// foreign is a kind of match that nobody knows.
type foreign struct{ rules.Match }

func TestUnknownMatchIsNotPassedOver(t *testing.T) {
	rs := rules.Ruleset{Tables: []rules.Table{{Family: rules.Inet, Chains: []rules.Chain{{
		Name: "output", Hook: rules.Output, Rules: []rules.Rule{{ID: "x", Matches: []rules.Match{foreign{}}, Verdict: rules.Accept}},
	}}}}}
	for name, f := range map[string]func(){
		"Text": func() { _ = rs.Text() },
		"Eval": func() { rs.Eval(rules.Packet{Dst: netip.MustParseAddr("8.8.8.8")}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes an unknown match", name)
				}
			}()
			f()
		}()
	}
}
