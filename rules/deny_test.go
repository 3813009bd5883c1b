package rules_test

import (
	"math/rand/v2"
	"testing"

	"github.com/vpnguard/vpnguard/rules"
)

// While rules are replaced, a new interval set is empty for a moment. A rule
// that denies by one lets packets through then; one that accepts does not.
func TestNoRuleThatDeniesLooksUpAnInterval(t *testing.T) {
	denying, mixed := 0, 0
	for seed := range uint64(walks) {
		rs := build(t, world{rand.New(rand.NewPCG(1, seed))}.policy())
		for _, table := range rs.Tables {
			for _, c := range table.Chains {
				for _, r := range c.Rules {
					for _, m := range r.Matches {
						interval := isInterval(m)
						if r.Verdict.Passes() {
							if interval {
								mixed++
							}
							continue
						}
						denying++
						if interval {
							t.Errorf("rule %q of chain %q denies by the interval set %v", r.ID, c.Name, m)
						}
					}
				}
			}
		}
	}
	if denying == 0 || mixed == 0 {
		t.Errorf("%d matches of denying rules, %d interval sets of others: the policies show nothing", denying, mixed)
	}
}

// isInterval reports whether a match is looked up in an interval set.
func isInterval(m rules.Match) bool {
	switch m := m.(type) {
	case rules.Addr:
		_, uniform := m.Uniform()
		return !uniform
	case rules.ARPTarget:
		return true
	case rules.Port:
		for _, r := range m.Ranges {
			if r.First != r.Last && len(m.Ranges) > 1 {
				return true
			}
		}
	}
	return false
}
