package rules_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/rules"
)

// sight is a packet and what each chain on its way decides by which rule.
type sight struct {
	policy string
	name   string
	packet rules.Packet
	want   string // rule ids in the order of the chains, and the verdict; "policy" where no rule decides
}

func sights() []sight {
	return slices.Concat(carrierSights(), nameSights(), outSights(), splitSights(), apartSights(), upkeepSights(), inSights(), forwardSights(), fenceSights())
}

func TestEveryPacketIsDecidedByItsRule(t *testing.T) {
	built := map[string]rules.Ruleset{}
	for name, p := range policies() {
		built[name] = build(t, p)
	}
	for _, s := range sights() {
		t.Run(s.policy+"/"+s.name, func(t *testing.T) {
			rs, ok := built[s.policy]
			if !ok {
				t.Fatalf("no policy %q", s.policy)
			}
			decisions := trace(rs, s.packet)
			if got := describe(decisions); got != s.want {
				t.Errorf("decided by %q, want %q", got, s.want)
			}
			if d := rs.Eval(s.packet); d != decisions[len(decisions)-1] {
				t.Errorf("Eval says %s, the chain alone %s", d, decisions[len(decisions)-1])
			}
		})
	}
}

func describe(decisions []rules.Decision) string {
	ids := make([]string, 0, len(decisions))
	for _, d := range decisions {
		if d.Rule == "" {
			d.Rule = "policy"
		}
		ids = append(ids, d.Rule)
	}
	verdict, _, _ := strings.Cut(decisions[len(decisions)-1].Verdict.String(), " ")
	return strings.Join(ids, " ") + ": " + verdict
}

// A rule that no packet of the table reaches could be wrong, or dead.
func TestEveryRuleDecidesOnAPacketOfTheTable(t *testing.T) {
	decided := map[string]bool{}
	built := map[string]rules.Ruleset{}
	for name, p := range policies() {
		built[name] = build(t, p)
	}
	for _, s := range sights() {
		for _, d := range trace(built[s.policy], s.packet) {
			decided[key(d.Chain, d.Rule)] = true
		}
	}
	missing := undecided(built, decided)
	for _, m := range missing {
		t.Errorf("no packet of the table is decided by %s", m)
	}
	// The check itself: without one decision it names that rule.
	for k := range decided {
		if strings.HasSuffix(k, " ") {
			continue // a chain's policy
		}
		fewer := maps.Clone(decided)
		delete(fewer, k)
		if got := undecided(built, fewer); !slices.Contains(got, k) {
			t.Fatalf("without a packet for %q the check says %q", k, got)
		}
	}
}

// key is the same for a rule that every fence has.
func key(chain, rule string) string {
	chain, _, _ = strings.Cut(chain, "_")
	return chain + " " + rule
}

func undecided(built map[string]rules.Ruleset, decided map[string]bool) []string {
	missing := map[string]bool{}
	for _, rs := range built {
		for _, table := range rs.Tables {
			for _, c := range table.Chains {
				for _, r := range c.Rules {
					if k := key(c.Name, r.ID); !decided[k] {
						missing[k] = true
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(missing))
}
