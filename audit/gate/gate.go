package gate

import (
	"fmt"
	"slices"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

// An Outcome is what an audit as a whole came to. The zero value is that
// nothing can be concluded.
type Outcome struct {
	Status Status `json:"status"`
	// Reasons are sentences; a clean audit has none.
	Reasons []string `json:"reasons"`
	// Notes change nothing: findings below the threshold, expired waivers.
	Notes []string `json:"notes,omitempty"`
}

// A Status is one word for an outcome.
type Status string

// The statuses.
const (
	Inconclusive Status = "inconclusive"
	Found        Status = "found"
	Clean        Status = "clean"
)

// A Gate is what an audit is held against.
type Gate struct {
	Policy policy.Policy
	// Comparison is with a baseline; nil without one.
	Comparison *Comparison
}

// Judge decides. What was found outweighs what is not known.
func (g Gate) Judge(a evidence.Audit, results []verdict.Result) Outcome {
	o := Outcome{Status: Clean, Reasons: []string{}}
	found, unknown := g.found(a, results, &o), g.unknown(a, results)
	switch {
	case len(found) > 0:
		o.Status = Found
	case len(unknown) > 0:
		o.Status = Inconclusive
	}
	o.Reasons = append(append(o.Reasons, found...), unknown...)
	for _, w := range g.Policy.Expired(a.Finished) {
		o.Notes = append(o.Notes, fmt.Sprintf("the waiver of %s by %s has expired", verdict.Name(w.ID, w.Variant), w.Owner))
	}
	return o
}

func (g Gate) found(a evidence.Audit, results []verdict.Result, o *Outcome) (reasons []string) {
	for _, r := range results {
		fails := r.Verdict == verdict.Leak || r.Verdict == verdict.Exposed || r.Verdict == verdict.OracleRemains && g.Policy.OraclesFail
		severity := SeverityOf(a, r.ID)
		switch {
		case !fails:
		case !g.Policy.Counts(severity):
			o.Notes = append(o.Notes, fmt.Sprintf("%s: %s, of severity %s, is below the threshold", r.Name(), r.Verdict, severity))
		case g.Policy.Ratchet && g.known(r):
			o.Notes = append(o.Notes, fmt.Sprintf("%s: %s was there before", r.Name(), r.Verdict))
		default:
			reasons = append(reasons, fmt.Sprintf("%s: %s", r.Name(), r.Verdict))
		}
	}
	return reasons
}

// known reports whether the baseline has all findings of a result.
func (g Gate) known(r verdict.Result) bool {
	return g.Comparison != nil && !slices.ContainsFunc(r.Findings, func(f verdict.Finding) bool {
		return g.Comparison.Findings[f.Fingerprint] != Unchanged
	})
}

func (g Gate) unknown(a evidence.Audit, results []verdict.Result) (reasons []string) {
	if a.Interrupted != "" {
		reasons = append(reasons, "the audit ended early: "+a.Interrupted)
	}
	tested := map[string]bool{}
	controls, fired := 0, 0
	for _, r := range results {
		if r.Verdict == verdict.Inconclusive {
			reasons = append(reasons, fmt.Sprintf("%s: inconclusive", r.Name()))
		}
		if !said(r.Verdict) && r.Verdict != verdict.Inconclusive || r.Case == nil {
			continue
		}
		tested[r.ID] = tested[r.ID] || r.Verdict != verdict.Inconclusive
		if !r.Case.Innocent && r.Case.Probed() {
			controls++
			if r.Fired {
				fired++
			}
		}
	}
	for _, id := range g.Policy.Required {
		if !tested[id] {
			reasons = append(reasons, fmt.Sprintf("%s: required and not tested", id))
		}
	}
	least := g.Policy.MinControls
	if least == 0 {
		least = 1
	}
	switch {
	case controls == 0:
		reasons = append(reasons, "nothing was tested")
	case float64(fired) < least*float64(controls):
		reasons = append(reasons, fmt.Sprintf("only %d of %d controls showed their leak with the guard off", fired, controls))
	}
	if g.Policy.Ratchet && g.Comparison != nil {
		for _, name := range g.Comparison.Lost {
			reasons = append(reasons, fmt.Sprintf("%s: was tested before and is not now", name))
		}
	}
	return reasons
}

// SeverityOf is a class's severity; an unknown class is critical.
func SeverityOf(a evidence.Audit, id string) evidence.Severity {
	for _, k := range a.Catalogue {
		if k.ID == id {
			return k.Severity
		}
	}
	return evidence.Critical
}
