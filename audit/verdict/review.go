package verdict

import (
	"fmt"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
)

// review settles a case that was read and not run. What is open is a finding;
// nothing open says nothing, for nothing was tried.
func (r *Result) review(c *evidence.Case, p policy.Policy, at time.Time) {
	r.Fired = true // nothing was to show
	if len(c.Runs) > 0 || c.NotTested != "" || c.NotApplicable != "" {
		r.Verdict, r.Reasons, r.Fired = Inconclusive, []string{"a review that also ran, or that was not made, is none"}, false
		return
	}
	for _, m := range c.Review {
		text := m.What
		if m.Do != "" {
			text += fmt.Sprintf(" (%s)", m.Do)
		}
		r.Reasons = append(r.Reasons, text)
		if !m.Open {
			continue
		}
		v := Exposed
		if c.Harm == evidence.Leaks {
			v = Leak
		}
		r.Findings = append(r.Findings, Finding{
			Fingerprint: fingerprint(c, "review", m.Subject), Text: m.What, Flow: m.Subject, Vantage: "review",
			Count: 1, First: at, Last: at, Verdict: v,
		})
	}
	if r.Verdict = NotTested; len(r.Findings) > 0 {
		r.Verdict = worst(r.Findings)
		r.waive(p, at)
	}
}
