package report

import (
	"encoding/json"
	"io"

	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

// An in-toto statement (v1) with the test-result predicate (v0.1).
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     testResult `json:"predicate"`
}

type resource struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest,omitempty"`
}

type testResult struct {
	Result        string     `json:"result"`
	Configuration []resource `json:"configuration"`
	Passed        []string   `json:"passedTests"`
	Warned        []string   `json:"warnedTests"`
	Failed        []string   `json:"failedTests"`
}

// Attestation writes an in-toto statement over the evidence, to be signed by
// who ran the audit: which configuration was tested, and how each test ended.
func (r Report) Attestation(w io.Writer) error {
	s := statement{
		Type: "https://in-toto.io/Statement/v1", PredicateType: "https://in-toto.io/attestation/test-result/v0.1",
		Subject: []resource{{Name: "evidence.json", Digest: map[string]string{"sha256": r.EvidenceSHA256}}},
		Predicate: testResult{
			Result: "FAILED", Passed: []string{}, Warned: []string{}, Failed: []string{},
			Configuration: []resource{{Name: "client " + named(r.Scope.Client)}, {Name: "guard " + named(r.Scope.Guard)}},
		},
	}
	if p := r.Scope.Profile; p.SHA256 != "" {
		s.Predicate.Configuration = append(s.Predicate.Configuration, resource{Name: r.profile(), Digest: map[string]string{"sha256": p.SHA256}})
	}
	for _, one := range r.Results {
		switch one.Verdict {
		case verdict.Pass:
			s.Predicate.Passed = append(s.Predicate.Passed, one.Name())
		case verdict.OracleRemains, verdict.Waived:
			s.Predicate.Warned = append(s.Predicate.Warned, one.Name())
		case verdict.Leak, verdict.Exposed, verdict.Inconclusive:
			s.Predicate.Failed = append(s.Predicate.Failed, one.Name())
		case verdict.NotTested, verdict.NotApplicable: // neither ran
		}
	}
	if r.Outcome.Status == gate.Clean {
		s.Predicate.Result = "PASSED"
		if len(s.Predicate.Warned)+len(s.Predicate.Failed) > 0 {
			s.Predicate.Result = "WARNED"
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(s)
}
