package report

import (
	"fmt"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// lacks lists what a reader needs to believe a report and does not get.
func lacks(in Input) []string {
	a, all := in.Audit, []string{}
	want := func(there bool, what string) {
		if !there {
			all = append(all, what)
		}
	}
	s := a.Scope
	want(s.ThreatModel != "", "a threat model")
	want(s.Client.Name != "" && s.Client.Version != "", "the client's name and version")
	want(s.Guard.Name != "", "the guard's name")
	want(s.Auditor.Version != "", "the auditor's version")
	want(len(s.Command) > 0, "the command that reproduces it")
	want(a.Environment.Kernel != "", "the kernel's version")
	want(len(a.Environment.Sections) > 0, "rules, routes and knobs of the audited host")
	want(len(a.Topology.Vantages) > 0, "its vantage points")
	want(len(a.Residual) > 0, "the risks that remain")
	want(in.EvidenceSHA256 != "", "evidence that is kept")
	innocent := false
	for _, c := range a.Cases {
		innocent = innocent || c.Innocent
	}
	want(innocent, "a negative control: a harmless probe that must not be reported")
	want(len(a.Mutants) > 0, "a self-test of the guard's rules")
	for _, r := range in.Results {
		if r.Verdict.Finding() && r.Case != nil && len(r.Case.Reproduce) == 0 {
			all = append(all, fmt.Sprintf("a command that reproduces %s", r.Name()))
		}
	}
	return all
}

// severityText is how a severity reads beside a finding.
func severityText(s evidence.Severity) string {
	if s == "" {
		return "critical (unknown class)"
	}
	return string(s)
}
