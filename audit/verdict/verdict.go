// Package verdict computes what an audit's evidence means. It is pure: the same
// evidence and policy give the same verdicts, in the audit and in a replay.
package verdict

// A Verdict is what a case came to. Only Pass, and only with everything that
// proves it, says that nothing leaked.
type Verdict string

// The verdicts.
const (
	Leak          Verdict = "leak"
	Exposed       Verdict = "exposed"                // an oracle, an identifier, an inbound way
	OracleRemains Verdict = "blocked-oracle-remains" // nothing left, and yet one can tell
	Pass          Verdict = "pass"
	Inconclusive  Verdict = "inconclusive" // something that a pass needs is missing
	NotApplicable Verdict = "not-applicable"
	NotTested     Verdict = "not-tested"
	Waived        Verdict = "waived" // a finding that the policy accepts for a time
)

// All returns the verdicts, the worst first.
func All() []Verdict {
	return []Verdict{Leak, Exposed, Inconclusive, OracleRemains, Waived, NotTested, NotApplicable, Pass}
}

// Finding reports whether the verdict says that something was found.
func (v Verdict) Finding() bool { return v == Leak || v == Exposed || v == OracleRemains }
