// Package gate decides whether an audit passes: verdicts against a policy, and
// against what an earlier audit found.
package gate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/vpnguard/vpnguard/audit/verdict"
)

// Schema names the form of a baseline.
const Schema = "vpnguard-audit-baseline/1"

// A Baseline is what an earlier audit came to.
type Baseline struct {
	Schema  string  `json:"schema"`
	Results []Known `json:"results"`
}

// Known is what is known of one case.
type Known struct {
	ID           string          `json:"id"`
	Variant      string          `json:"variant,omitempty"`
	Verdict      verdict.Verdict `json:"verdict"`
	Fingerprints []string        `json:"fingerprints,omitempty"`
}

// BaselineOf is what to hold the next audit against.
func BaselineOf(results []verdict.Result) Baseline {
	b := Baseline{Schema: Schema, Results: []Known{}}
	for _, r := range results {
		k := Known{ID: r.ID, Variant: r.Variant, Verdict: r.Verdict}
		for _, f := range r.Findings {
			k.Fingerprints = append(k.Fingerprints, f.Fingerprint)
		}
		b.Results = append(b.Results, k)
	}
	return b
}

// ParseBaseline reads a baseline; name is the file's, for errors.
func ParseBaseline(name string, data []byte) (*Baseline, error) {
	var b Baseline
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if b.Schema != Schema {
		return nil, fmt.Errorf("%s: its schema is %q, not %q", name, b.Schema, Schema)
	}
	return &b, nil
}

// A State is how a finding stands to the baseline.
type State string

// The states, which are SARIF's.
const (
	New       State = "new"
	Unchanged State = "unchanged"
	Absent    State = "absent"
)

// A Comparison holds an audit against a baseline.
type Comparison struct {
	// Findings are the states by fingerprint.
	Findings map[string]State `json:"findings"`
	// Gone are findings of the baseline that are no more, as "id/variant fingerprint".
	Gone []string `json:"gone,omitempty"`
	// Lost are cases that said something and now do not: untested,
	// inconclusive or missing.
	Lost []string `json:"lost,omitempty"`
}

// Compare holds results against b.
func (b Baseline) Compare(results []verdict.Result) *Comparison {
	c := &Comparison{Findings: map[string]State{}}
	for _, r := range results {
		for _, f := range r.Findings {
			c.Findings[f.Fingerprint] = New
		}
	}
	for _, k := range b.Results {
		name := verdict.Name(k.ID, k.Variant)
		i := slices.IndexFunc(results, func(r verdict.Result) bool { return r.ID == k.ID && r.Variant == k.Variant })
		if said(k.Verdict) && (i < 0 || !said(results[i].Verdict)) {
			c.Lost = append(c.Lost, name)
		}
		for _, f := range k.Fingerprints {
			if _, ok := c.Findings[f]; ok {
				c.Findings[f] = Unchanged
			} else if i >= 0 && said(results[i].Verdict) {
				c.Findings[f] = Absent
				c.Gone = append(c.Gone, name+" "+f)
			}
		}
	}
	return c
}

// said reports whether a verdict says anything of the case.
func said(v verdict.Verdict) bool {
	switch v {
	case verdict.Leak, verdict.Exposed, verdict.OracleRemains, verdict.Pass, verdict.Waived:
		return true
	case verdict.Inconclusive, verdict.NotApplicable, verdict.NotTested:
		return false
	}
	return false
}
