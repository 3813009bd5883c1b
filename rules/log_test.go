package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/rules"
)

func TestExactlyTheRulesThatEndAPacketLog(t *testing.T) {
	for name, p := range policies() {
		for _, log := range []bool{false, true} {
			p.Log = log
			rs := build(t, p)
			ending, logging := 0, 0
			for _, table := range rs.Tables {
				for _, c := range table.Chains {
					for _, r := range c.Rules {
						if !r.Verdict.Passes() {
							ending++
						}
						if c.Logs(r) {
							logging++
							if r.Verdict.Passes() {
								t.Errorf("%s: rule %q lets packets through and logs", name, r.ID)
							}
						}
					}
				}
			}
			want := 0
			if log {
				want = ending
			}
			if ending < 5 || logging != want || strings.Count(rs.Text(), " log prefix ") != want {
				t.Errorf("%s with Log %t: %d rules end packets, %d of them log, text:\n%s", name, log, ending, logging, rs.Text())
			}
		}
	}
}

func TestLoggingDecidesOnNoPacket(t *testing.T) {
	for name, p := range policies() {
		p.Log = false
		silent := build(t, p)
		p.Log = true
		telling := build(t, p)
		for i, table := range silent.Tables {
			for j, c := range table.Chains {
				if !slices.EqualFunc(c.Rules, telling.Tables[i].Chains[j].Rules, func(a, b rules.Rule) bool {
					return a.Comment() == b.Comment() && a.Verdict == b.Verdict && len(a.Matches) == len(b.Matches)
				}) {
					t.Errorf("%s: chain %q has other rules when it logs", name, c.Name)
				}
			}
		}
	}
}

// The kernel keeps 127 bytes of a prefix; nft takes "$" for a variable.
func TestLogPrefixFitsAndHoldsNoVariable(t *testing.T) {
	for id, want := range map[string]string{
		"out-end":                "vpnguard out-end",
		"out-source-t$un0-tcp":   "vpnguard out-source-t_un0-tcp",
		strings.Repeat("x", 200): "vpnguard " + strings.Repeat("x", 118),
	} {
		r := rules.Rule{ID: id}
		if got := r.LogPrefix(); got != want || len(got) > 127 || "vpnguard "+r.LogName() != got {
			t.Errorf("prefix of %q: %q, name %q", id, got, r.LogName())
		}
	}
}
