// Package report is what an audit came to, as one canonical value, and that
// value rendered for people and programs. Rendering decides nothing.
package report

import (
	"fmt"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

// Schema names the form of the canonical JSON. Fields are added to it and
// never change their meaning; what must change gets the next number.
const Schema = "vpnguard-audit-report/1"

// A Report is the canonical form.
type Report struct {
	Schema string `json:"schema"`
	// Statement is all that the audit claims, in a sentence.
	Statement string       `json:"statement"`
	Outcome   gate.Outcome `json:"outcome"`
	Coverage  Coverage     `json:"coverage"`
	// Lacks are the things without which a report is not to be believed, and
	// which this one does not have.
	Lacks       []string             `json:"lacks"`
	Scope       evidence.Scope       `json:"scope"`
	Started     time.Time            `json:"started"`
	Finished    time.Time            `json:"finished"`
	Interrupted string               `json:"interrupted,omitempty"`
	Results     []Result             `json:"results"`
	Comparison  *gate.Comparison     `json:"comparison,omitempty"`
	SelfTest    *SelfTest            `json:"self_test,omitempty"`
	Environment evidence.Environment `json:"environment"`
	Topology    evidence.Topology    `json:"topology"`
	Residual    []string             `json:"residual"`
	// EvidenceSHA256 is of the evidence that the verdicts were computed from.
	EvidenceSHA256 string `json:"evidence_sha256,omitempty"`
}

// Coverage says how much of the catalogue the audit speaks of.
type Coverage struct {
	Classes       int `json:"classes"` // in the catalogue
	Tested        int `json:"tested"`  // with at least one conclusive case
	Inconclusive  int `json:"inconclusive"`
	NotTested     int `json:"not_tested"`
	NotApplicable int `json:"not_applicable"`
	// Looked are cases with findings that no probe made: what was read of a
	// machine, and frames of nobody.
	Looked int `json:"looked,omitempty"`
	// Probes are the cases that were conclusive, negative controls left out.
	Probes   int                     `json:"probes"`
	Controls int                     `json:"controls"` // cases that need one
	Fired    int                     `json:"fired"`    // cases whose every control showed the leak
	Verdicts map[verdict.Verdict]int `json:"verdicts"` // of cases
	Reasons  []Untested              `json:"reasons,omitempty"`
}

// Untested is a class that the audit says nothing of, and why.
type Untested struct {
	ID      string          `json:"id"`
	Verdict verdict.Verdict `json:"verdict"`
	Why     string          `json:"why"`
}

// A Result is a verdict with what the catalogue and the case say beside it.
type Result struct {
	verdict.Result
	Severity evidence.Severity `json:"severity"`
	Class    string            `json:"class"` // the catalogue's title
	Text     string            `json:"text,omitempty"`
	Fix      string            `json:"fix,omitempty"`
	Sources  []string          `json:"sources,omitempty"`
	Rule     string            `json:"rule,omitempty"`
	Line     int               `json:"line,omitempty"`
	// Reproduce runs the case alone.
	Reproduce []string `json:"reproduce,omitempty"`
	// Innocent marks a negative control.
	Innocent bool      `json:"innocent,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	// Captures are the files with all frames of its runs.
	Captures []File `json:"captures,omitempty"`
}

// A Finding is a verdict's, with where its frames are kept.
type Finding struct {
	verdict.Finding
	State gate.State `json:"state,omitempty"` // against the baseline
	File  *File      `json:"file,omitempty"`
}

// A File is in the bundle.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// SelfTest is what became of the mutants.
type SelfTest struct {
	Mutants   []evidence.Mutant `json:"mutants"`
	Noticed   int               `json:"noticed"`
	Survivors [][]string        `json:"survivors"` // removed rules that no probe depends on
}

// Input is what a report is made of.
type Input struct {
	Audit      evidence.Audit
	Results    []verdict.Result
	Outcome    gate.Outcome
	Comparison *gate.Comparison
	// Finding names the file of a finding, and Digest has the digest of a file;
	// either may be nil where nothing is kept.
	Finding func(r verdict.Result, finding int) string
	Digest  func(name string) string
	// EvidenceSHA256 is of the evidence as it is kept.
	EvidenceSHA256 string
}

// New makes the report.
func New(in Input) Report {
	a := in.Audit
	r := Report{
		Schema: Schema, Outcome: in.Outcome, Lacks: lacks(in), Scope: a.Scope, Started: a.Started, Finished: a.Finished, Interrupted: a.Interrupted,
		Coverage: coverage(a, in.Results), Comparison: in.Comparison, SelfTest: selfTest(a.Mutants), Environment: a.Environment, Topology: a.Topology,
		Residual: append([]string{}, a.Residual...), EvidenceSHA256: in.EvidenceSHA256, Results: []Result{},
	}
	for _, v := range in.Results {
		r.Results = append(r.Results, in.result(v))
	}
	r.Statement = r.statement()
	return r
}

func (in Input) result(v verdict.Result) Result {
	r := Result{Result: v, Severity: gate.SeverityOf(in.Audit, v.ID)}
	for _, k := range in.Audit.Catalogue {
		if k.ID == v.ID {
			r.Class, r.Text, r.Fix, r.Sources = k.Title, k.Text, k.Fix, k.Sources
		}
	}
	if c := v.Case; c != nil {
		r.Rule, r.Line, r.Reproduce, r.Innocent = c.Rule, c.Line, c.Reproduce, c.Innocent
		for _, run := range c.Runs {
			if f := in.file(run.File); f != nil {
				r.Captures = append(r.Captures, *f)
			}
		}
	}
	for i, f := range v.Findings {
		one := Finding{Finding: f}
		if in.Comparison != nil {
			one.State = in.Comparison.Findings[f.Fingerprint]
		}
		if in.Finding != nil && len(f.Numbers) > 0 {
			one.File = in.file(in.Finding(v, i))
		}
		r.Findings = append(r.Findings, one)
	}
	return r
}

func (in Input) file(name string) *File {
	if name == "" || in.Digest == nil {
		return nil
	}
	return &File{Name: name, SHA256: in.Digest(name)}
}

func coverage(a evidence.Audit, results []verdict.Result) Coverage {
	c := Coverage{Classes: len(a.Catalogue), Verdicts: map[verdict.Verdict]int{}}
	for _, r := range results {
		c.Verdicts[r.Verdict]++
		if r.Case != nil && !r.Case.Probed() && foundIn(r.Verdict) {
			c.Looked++
		}
		if r.Case == nil || r.Case.Innocent || len(r.Case.Runs) == 0 || !r.Case.Probed() {
			continue
		}
		c.Controls++
		if r.Fired {
			c.Fired++
		}
		if conclusive(r.Verdict) {
			c.Probes++
		}
	}
	for _, k := range a.Catalogue {
		best, why := verdict.NotTested, ""
		for _, r := range results {
			if r.ID == k.ID && (why == "" || rank(r.Verdict) > rank(best)) {
				best = r.Verdict
				why = firstOf(r.Reasons)
			}
		}
		switch {
		case conclusive(best):
			c.Tested++
			continue
		case best == verdict.Inconclusive:
			c.Inconclusive++
		case best == verdict.NotApplicable:
			c.NotApplicable++
		default:
			c.NotTested++
		}
		c.Reasons = append(c.Reasons, Untested{ID: k.ID, Verdict: best, Why: why})
	}
	return c
}

// foundIn reports whether a verdict has a finding, accepted or not.
func foundIn(v verdict.Verdict) bool { return v.Finding() || v == verdict.Waived }

// conclusive reports whether a verdict says what happened.
func conclusive(v verdict.Verdict) bool { return rank(v) == 3 }

// rank orders how much a verdict says.
func rank(v verdict.Verdict) int {
	switch v {
	case verdict.Leak, verdict.Exposed, verdict.OracleRemains, verdict.Waived, verdict.Pass:
		return 3
	case verdict.Inconclusive:
		return 2
	case verdict.NotTested:
		return 1
	case verdict.NotApplicable:
		return 0
	}
	return 0
}

func firstOf(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

func selfTest(mutants []evidence.Mutant) *SelfTest {
	if len(mutants) == 0 {
		return nil
	}
	s := SelfTest{Mutants: mutants, Survivors: [][]string{}}
	for _, m := range mutants {
		switch {
		case len(m.Noticed) > 0:
			s.Noticed++
		case m.Error == "":
			s.Survivors = append(s.Survivors, m.Removed)
		}
	}
	return &s
}

func (r Report) statement() string {
	n := r.Coverage.Probes
	probes := fmt.Sprintf("these %d probes", n)
	if n == 1 {
		probes = "this 1 probe"
	}
	switch r.Outcome.Status {
	case gate.Clean:
		if found := r.found(); found > 0 {
			return fmt.Sprintf("no leak that the policy fails was observed under %s; %d found something that it accepts", probes, found)
		}
		return "no leak observed under " + probes
	case gate.Found:
		text := fmt.Sprintf("%d of %s found a leak, an exposure or an oracle", r.found()-r.Coverage.Looked, probes)
		if n := r.Coverage.Looked; n > 0 {
			text += fmt.Sprintf("; the review and the frames of nobody found %d more", n)
		}
		return text
	case gate.Inconclusive:
		return "nothing can be concluded: " + r.Outcome.Reasons[0]
	}
	return "nothing can be concluded"
}

// found counts the cases with findings, accepted or not.
func (r Report) found() int {
	v := r.Coverage.Verdicts
	return v[verdict.Leak] + v[verdict.Exposed] + v[verdict.Waived] + v[verdict.OracleRemains]
}

// Worst returns the results, the gravest first, each kind in the catalogue's order.
func (r Report) Worst() []Result {
	all := slices.Clone(r.Results)
	order := verdict.All()
	slices.SortStableFunc(all, func(a, b Result) int {
		if a.Verdict != b.Verdict {
			return slices.Index(order, a.Verdict) - slices.Index(order, b.Verdict)
		}
		if a.Verdict.Finding() {
			return b.Severity.Rank() - a.Severity.Rank()
		}
		return 0
	})
	return all
}
