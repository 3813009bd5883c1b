package verdict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
)

// Judge computes the verdict of every case, and of every class of the
// catalogue that has none, in the order of the catalogue. Waivers are held
// against the time at which the audit ended, so that a replay years later says
// the same.
func Judge(a evidence.Audit, p policy.Policy) []Result {
	var all []Result
	cases := map[string][]*evidence.Case{}
	var foreign []*evidence.Case
	for i := range a.Cases {
		c := &a.Cases[i]
		cases[c.ID] = append(cases[c.ID], c)
		if !slices.ContainsFunc(a.Catalogue, func(k evidence.Class) bool { return k.ID == c.ID }) {
			foreign = append(foreign, c)
		}
	}
	for _, k := range a.Catalogue {
		for _, c := range cases[k.ID] {
			all = append(all, Case(c, p, a.Scope.Repeat, a.Finished))
		}
		if len(cases[k.ID]) == 0 {
			all = append(all, untested(k, a.Interrupted))
		}
	}
	for _, c := range foreign { // negative controls, above all
		all = append(all, Case(c, p, a.Scope.Repeat, a.Finished))
	}
	doubt(all)
	return all
}

// doubt makes passes of one name inconclusive: which of them is it?
func doubt(all []Result) {
	count := map[string]int{}
	for _, r := range all {
		count[r.Name()]++
	}
	for i := range all {
		if r := &all[i]; count[r.Name()] > 1 && !r.Verdict.Finding() {
			r.Verdict = Inconclusive
			r.Reasons = append([]string{fmt.Sprintf("%d cases have this name", count[r.Name()])}, r.Reasons...)
		}
	}
}

func untested(k evidence.Class, interrupted string) Result {
	why := "this audit ran no test of it"
	switch k.Test {
	case "HOST":
		why = "it needs a booted machine of its own, not namespaces"
	case "SRV":
		why = "it is about the server's side"
	case "DOC":
		why = "no test says anything about it; it is stated as a residual risk"
	}
	if interrupted != "" {
		why = "the audit ended early: " + interrupted
	}
	return Result{ID: k.ID, Title: k.Title, Verdict: NotTested, Reasons: []string{why}}
}

// Case computes the verdict on one case, of which there must be repeat
// repetitions. A finding in any of them decides; a pass needs every proof in
// all; everything else is inconclusive.
func Case(c *evidence.Case, p policy.Policy, repeat int, at time.Time) Result {
	r := Result{ID: c.ID, Variant: c.Variant, Title: c.Title, Case: c}
	if done := r.withoutRuns(c, p, at); done {
		return r
	}
	r.Fired = true
	for _, rep := range repetitions(c) {
		r.repetition(c, p, rep)
	}
	r.wanted(c, repeat)
	r.conclude(c, p, at)
	return r
}

// withoutRuns settles what was never run.
func (r *Result) withoutRuns(c *evidence.Case, p policy.Policy, at time.Time) bool {
	switch {
	case len(c.Review) > 0:
		r.review(c, p, at)
	case c.NotApplicable != "" && c.NotTested == "" && len(c.Runs) == 0:
		r.Verdict, r.Reasons = NotApplicable, []string{c.NotApplicable}
	case c.NotTested != "" && c.NotApplicable == "" && len(c.Runs) == 0:
		r.Verdict, r.Reasons = NotTested, []string{c.NotTested}
	case len(c.Runs) == 0:
		r.Verdict, r.Reasons = Inconclusive, []string{"no run was recorded"}
	default:
		return false
	}
	return true
}

// pair is the two runs of one repetition; either may be missing.
type pair struct {
	number           int
	control, guarded *evidence.Run
	// extra are runs that have no place: a second one of a phase, or a phase
	// that is none.
	extra int
}

func repetitions(c *evidence.Case) []pair {
	byNumber := map[int]*pair{}
	for i := range c.Runs {
		run := &c.Runs[i]
		p := byNumber[run.Repetition]
		if p == nil {
			p = &pair{number: run.Repetition}
			byNumber[run.Repetition] = p
		}
		switch {
		case run.Phase == evidence.Control && p.control == nil:
			p.control = run
		case run.Phase == evidence.Guarded && p.guarded == nil:
			p.guarded = run
		default:
			p.extra++
		}
	}
	all := make([]pair, 0, len(byNumber))
	for _, p := range byNumber {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b pair) int { return a.number - b.number })
	return all
}

func (r *Result) repetition(c *evidence.Case, p policy.Policy, rep pair) {
	if rep.extra > 0 {
		r.miss(rep.number, "%d runs have no place in it", rep.extra)
	}
	if rep.control != nil {
		a := account(c, rep.control, p)
		r.Runs = append(r.Runs, a.Account)
	} else if !c.Innocent && !c.Passive {
		r.Fired = false
		r.miss(rep.number, "no control was run with the guard off")
	}
	if rep.guarded == nil {
		r.miss(rep.number, "nothing was run with the guard on")
		return
	}
	g := account(c, rep.guarded, p)
	g.Proofs = proofs(c, rep, g)
	for _, proof := range g.Proofs {
		if proof.What == ProofControl {
			r.Fired = r.Fired && proof.Holds
		}
		// What follows from a run that broke, or from a finding, is not said again.
		follows := rep.guarded.Error != "" && proof.What != ProofControl ||
			proof.What == ProofExplains && len(g.doubts) == 0 && slices.ContainsFunc(g.findings, Finding.hasFrames)
		if !proof.Holds && !follows {
			r.miss(rep.number, "%s: %s", proof.What, strings.Join(proof.Why, "; "))
		}
	}
	if rep.guarded.Error != "" {
		r.miss(rep.number, "the run could not be made in full: %s", rep.guarded.Error)
	}
	r.Runs = append(r.Runs, g.Account)
	for _, f := range g.findings {
		r.add(f)
	}
}

// miss notes what a pass lacks.
func (r *Result) miss(repetition int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if repetition > 0 {
		text = fmt.Sprintf("repetition %d: %s", repetition+1, text)
	}
	r.Reasons = append(r.Reasons, text)
}

// wanted notes repetitions that were asked for and not made.
func (r *Result) wanted(c *evidence.Case, repeat int) {
	made := len(repetitions(c))
	if made < max(repeat, 1) {
		r.miss(0, "%d repetitions were asked for and %d made", repeat, made)
	}
}

// add merges findings of the same flow, wherever they were seen.
func (r *Result) add(f Finding) {
	for i := range r.Findings {
		if r.Findings[i].Fingerprint == f.Fingerprint {
			r.Findings[i].Count += f.Count
			r.Findings[i].Last = f.Last
			return
		}
	}
	r.Findings = append(r.Findings, f)
}

func (r *Result) conclude(c *evidence.Case, p policy.Policy, at time.Time) {
	missing := r.Reasons
	r.Verdict = Pass
	switch {
	case len(r.Findings) == 0 && len(missing) > 0:
		r.Verdict = Inconclusive
		return
	case len(r.Findings) == 0:
		r.Reasons = []string{passText(r)}
		return
	case c.Innocent:
		r.Verdict = Inconclusive
		r.Reasons = append([]string{"the probe is harmless, and yet it was found: the auditor or its surroundings are at fault"}, missing...)
		return
	}
	r.Verdict = worst(r.Findings)
	if r.Verdict == OracleRemains && len(missing) > 0 {
		// That nothing left is part of this verdict, and it is not proven.
		r.Verdict = Inconclusive
	}
	r.Reasons = nil
	for _, f := range r.Findings {
		r.Reasons = append(r.Reasons, f.Text)
	}
	r.Reasons = append(r.Reasons, missing...)
	if r.Verdict.Finding() {
		r.waive(p, at)
	}
}

// worst is the gravest verdict of the findings.
func worst(findings []Finding) Verdict {
	for _, v := range All() {
		if slices.ContainsFunc(findings, func(f Finding) bool { return f.Verdict == v }) {
			return v
		}
	}
	return Leak
}

// waive accepts the case if the policy accepts each of its findings.
func (r *Result) waive(p policy.Policy, at time.Time) {
	all := true
	for i := range r.Findings {
		w, ok := p.Accepts(r.ID, r.Variant, r.Findings[i].Fingerprint, at)
		if ok {
			r.Findings[i].Waived = true
			r.Waiver = &Waiver{Reason: w.Reason, Owner: w.Owner, Expires: w.Expires}
		}
		all = all && ok
	}
	if all {
		r.Found, r.Verdict = r.Verdict, Waived
		r.Reasons = append([]string{fmt.Sprintf("accepted by %s until %s: %s", r.Waiver.Owner, r.Waiver.LastDay(), r.Waiver.Reason)}, r.Reasons...)
	}
}

// passText is all that a pass claims.
func passText(r *Result) string {
	frames := 0
	for _, run := range r.Runs {
		if run.Phase == evidence.Guarded {
			for _, c := range run.Captures {
				if c.Decides {
					frames += c.Frames
				}
			}
		}
	}
	return fmt.Sprintf("no leak observed: %d frames were seen and all are explained", frames)
}
