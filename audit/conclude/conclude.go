// Package conclude leads from evidence to a report and the bundle that proves
// it, and from a bundle to the same report again.
package conclude

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"

	"github.com/vpnguard/vpnguard/audit/bundle"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/report"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

// Demands are the user's files as they were read; nil for those that are not
// given.
type Demands struct {
	Policy, Baseline []byte
}

// A Conclusion is what evidence came to.
type Conclusion struct {
	Report report.Report
	// Files are the bundle.
	Files bundle.Files
}

// Check tells whether demands can be understood, before an audit is run.
func (d Demands) Check(known func(id string) bool) error {
	p, _, err := d.parse()
	if err != nil {
		return err
	}
	return p.Knows(known)
}

func (d Demands) parse() (policy.Policy, *gate.Baseline, error) {
	p, err := policy.Parse(bundle.PolicyName, d.Policy)
	if err != nil || d.Baseline == nil {
		return p, nil, err
	}
	b, err := gate.ParseBaseline(bundle.BaselineName, d.Baseline)
	return p, b, err
}

// Audit concludes an audit. The verdicts are computed from the very bytes that
// the bundle keeps, so that a replay cannot see anything else.
func Audit(a evidence.Audit, d Demands) (Conclusion, error) {
	f, err := bundle.New(a)
	if err != nil {
		return Conclusion{}, fmt.Errorf("keep the evidence: %w", err)
	}
	if d.Policy != nil {
		f[bundle.PolicyName] = d.Policy
	}
	if d.Baseline != nil {
		f[bundle.BaselineName] = d.Baseline
	}
	c, err := conclude(f)
	if err != nil {
		return Conclusion{}, err
	}
	var text bytes.Buffer
	if err := c.Report.JSON(&text); err != nil {
		return Conclusion{}, fmt.Errorf("write the report: %w", err)
	}
	f[bundle.ReportName] = text.Bytes()
	return c, nil
}

// Replay computes a bundle's verdicts again from its evidence alone, and names
// those that its report had otherwise. Other demands than the bundle's own
// may be held against it; then there is nothing to compare with.
func Replay(f bundle.Files, other Demands) (c Conclusion, otherwise []string, err error) {
	f = maps.Clone(f)
	if other.Policy != nil {
		f[bundle.PolicyName] = other.Policy
	}
	if other.Baseline != nil {
		f[bundle.BaselineName] = other.Baseline
	}
	if c, err = conclude(f); err != nil || other.Policy != nil || other.Baseline != nil {
		return c, nil, err
	}
	old, err := report.Parse(bundle.ReportName, f[bundle.ReportName])
	if err != nil {
		return c, nil, err
	}
	return c, differences(old, c.Report), nil
}

// conclude computes everything from the files but the report.
func conclude(f bundle.Files) (Conclusion, error) {
	p, baseline, err := Demands{f[bundle.PolicyName], f[bundle.BaselineName]}.parse()
	if err != nil {
		return Conclusion{}, err
	}
	a, err := f.Audit()
	if err != nil {
		return Conclusion{}, err
	}
	results := verdict.Judge(a, p)
	if err := f.AddFindings(results); err != nil {
		return Conclusion{}, err
	}
	var comparison *gate.Comparison
	if baseline != nil {
		comparison = baseline.Compare(results)
	}
	c := Conclusion{Files: f}
	c.Report = report.New(report.Input{
		Audit: a, Results: results, Outcome: gate.Gate{Policy: p, Comparison: comparison}.Judge(a, results), Comparison: comparison,
		Finding: bundle.FindingName, Digest: func(name string) string { return digest(f[name]) }, EvidenceSHA256: digest(f[bundle.EvidenceName]),
	})
	return c, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// differences compares all that a report concludes.
func differences(old, now report.Report) []string {
	var all []string
	if old.Outcome.Status != now.Outcome.Status {
		all = append(all, fmt.Sprintf("the outcome was %s and is %s", old.Outcome.Status, now.Outcome.Status))
	}
	was := map[string]report.Result{}
	for _, r := range old.Results {
		was[r.Name()] = r
	}
	for _, r := range now.Results {
		before, ok := was[r.Name()]
		delete(was, r.Name())
		switch {
		case !ok:
			all = append(all, fmt.Sprintf("%s is %s and was not in the report", r.Name(), r.Verdict))
		case before.Verdict != r.Verdict:
			all = append(all, fmt.Sprintf("%s was %s and is %s", r.Name(), before.Verdict, r.Verdict))
		case prints(before) != prints(r):
			all = append(all, fmt.Sprintf("%s has other findings", r.Name()))
		}
	}
	for name, r := range was {
		all = append(all, fmt.Sprintf("%s was %s and is not in the evidence", name, r.Verdict))
	}
	return all
}

func prints(r report.Result) string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Fingerprint)
	}
	return strings.Join(all, " ")
}
