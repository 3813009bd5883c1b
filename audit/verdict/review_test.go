package verdict

import (
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
)

func TestAReviewFindsWhatIsOpenAndPassesNothing(t *testing.T) {
	open := evidence.Remark{Subject: "a", What: "a is open", Do: "close it", Open: true}
	note := evidence.Remark{Subject: "b", What: "b is as it is"}
	later := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	waiver := policy.Policy{Waivers: []policy.Waiver{{ID: "x", Variant: "review", Reason: "so be it", Owner: "we", Expires: later.Add(time.Hour)}}}
	for name, c := range map[string]struct {
		c    evidence.Case
		p    policy.Policy
		want Verdict
	}{
		"open":               {evidence.Case{Harm: evidence.Exposes, Review: []evidence.Remark{note, open}}, policy.Policy{}, Exposed},
		"a leak":             {evidence.Case{Review: []evidence.Remark{open}}, policy.Policy{}, Leak},
		"a note":             {evidence.Case{Harm: evidence.Exposes, Review: []evidence.Remark{note}}, policy.Policy{}, NotTested},
		"accepted":           {evidence.Case{Harm: evidence.Exposes, Review: []evidence.Remark{open}}, waiver, Waived},
		"and yet it ran":     {evidence.Case{Harm: evidence.Exposes, Review: []evidence.Remark{open}, Runs: []evidence.Run{{}}}, policy.Policy{}, Inconclusive},
		"and yet it did not": {evidence.Case{Review: []evidence.Remark{open}, NotTested: "no time"}, policy.Policy{}, Inconclusive},
	} {
		c.c.ID, c.c.Variant = "x", "review"
		r := Case(&c.c, c.p, 1, later)
		if r.Verdict != c.want || (len(r.Findings) > 0) != (c.want == Exposed || c.want == Leak || c.want == Waived) {
			t.Errorf("%s: %s %+v %q", name, r.Verdict, r.Findings, r.Reasons)
		}
	}
}
