package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

const sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

// SARIF writes version 2.1.0 of the Static Analysis Results Interchange Format:
// a result for each finding, and for each case without one.
func (r Report) SARIF(w io.Writer) error {
	return r.sarif(w, func(sarifResult) bool { return true })
}

// CodeScanning writes SARIF of which every result is something to mend: GitHub
// makes an alert of each, whatever its kind and however it is suppressed.
func (r Report) CodeScanning(w io.Writer) error {
	return r.sarif(w, func(s sarifResult) bool {
		return s.Kind == "fail" && len(s.Suppressions) == 0 && s.BaselineState != string(gate.Absent)
	})
}

func (r Report) sarif(w io.Writer, wanted func(sarifResult) bool) error {
	rules, index := r.sarifRules()
	run := sarifRun{
		Tool: sarifTool{sarifDriver{
			Name: "vpnguard audit", Version: r.Scope.Auditor.Version, InformationURI: "https://github.com/vpnguard/vpnguard", Rules: rules,
		}},
		AutomationDetails: sarifAutomation{ID: "vpnguard-audit/" + r.Scope.Client.Name + "/" + r.Scope.Guard.Name + "/"},
		Invocations: []sarifInvocation{{
			CommandLine: shell(r.Scope.Command), Start: sarifTime(r.Started), End: sarifTime(r.Finished),
			Successful: r.Outcome.Status != gate.Inconclusive, Notifications: r.sarifNotifications(),
		}},
		Results: []sarifResult{}, Artifacts: r.sarifArtifacts(),
		Properties: map[string]any{"statement": r.Statement, "outcome": r.Outcome.Status, "coverage": r.Coverage, "evidenceSha256": r.EvidenceSHA256},
	}
	for _, one := range r.Results {
		run.Results = append(run.Results, r.sarifResults(one, index[one.ID])...)
	}
	run.Results = append(run.Results, r.sarifGone(index)...)
	run.Results = slices.DeleteFunc(run.Results, func(s sarifResult) bool { return !wanted(s) })
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

func sarifTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// sarifRules has a rule for every class that has a result.
func (r Report) sarifRules() (rules []sarifRule, index map[string]int) {
	rules, index = []sarifRule{}, map[string]int{}
	for _, one := range r.Results {
		if _, ok := index[one.ID]; ok {
			continue
		}
		index[one.ID] = len(rules)
		title := cmp.Or(one.Class, one.Title, one.ID)
		help := cmp.Or(one.Fix, "See the full description.")
		rules = append(rules, sarifRule{
			ID: one.ID, Short: sarifText{title}, Full: sarifText{cmp.Or(one.Text, title)}, Help: sarifText{help},
			Default: sarifDefault{sarifLevel(one.Severity)},
			Properties: map[string]any{
				"security-severity": securitySeverity(one.Severity), "precision": "very-high", "tags": []string{"security", "vpn", "leak"}, "sources": append([]string{}, one.Sources...),
			},
		})
	}
	return rules, index
}

// securitySeverity is a score as CVSS has them, in the middle of the range
// that code hosts show under the same word.
func securitySeverity(s evidence.Severity) string {
	return [...]string{"0.0", "2.0", "5.5", "8.0", "9.5"}[s.Rank()]
}

func sarifLevel(s evidence.Severity) string {
	switch s {
	case evidence.Medium:
		return "warning"
	case evidence.Low, evidence.Info:
		return "note"
	case evidence.Critical, evidence.High:
		return "error"
	}
	return "error"
}

// sarifKind is what a verdict is called; only a fail has a level.
func sarifKind(v verdict.Verdict) string {
	switch v {
	case verdict.Leak, verdict.Exposed, verdict.Waived:
		return "fail"
	case verdict.OracleRemains:
		return "review"
	case verdict.Pass:
		return "pass"
	case verdict.NotApplicable:
		return "notApplicable"
	case verdict.Inconclusive, verdict.NotTested:
		return "open"
	}
	return "open"
}

func (r Report) sarifResults(one Result, rule int) []sarifResult {
	base := sarifResult{
		RuleID: one.ID, RuleIndex: rule, Kind: sarifKind(one.Verdict), Level: "none", Message: sarifText{cmp.Or(strings.Join(one.Reasons, "\n"), string(one.Verdict))},
		Locations:  r.sarifLocation(one.Line),
		Properties: map[string]any{"verdict": one.Verdict, "variant": one.Variant, "reproduce": shell(one.Reproduce), "controlsFired": one.Fired},
	}
	for _, f := range one.Captures {
		base.Attachments = append(base.Attachments, sarifAttachment{sarifText{"every frame of a run"}, sarifArtifactLocation{URI: f.Name}, nil})
	}
	if len(one.Findings) == 0 || base.Kind == "open" {
		return []sarifResult{base}
	}
	var all []sarifResult
	for _, f := range one.Findings {
		s := base
		s.Kind, s.Message = sarifKind(f.Verdict), sarifText{f.Text}
		if s.Kind == "fail" {
			s.Level = sarifLevel(one.Severity)
		}
		s.Fingerprints = map[string]string{"vpnguardFlow/v1": f.Fingerprint}
		s.BaselineState = string(f.State)
		if f.Waived && one.Waiver != nil {
			s.Suppressions = []sarifSuppression{{"external", "accepted", fmt.Sprintf("%s (%s, until %s)", one.Waiver.Reason, one.Waiver.Owner, one.Waiver.LastDay()),
				map[string]any{"owner": one.Waiver.Owner, "expires": sarifTime(one.Waiver.Expires)}}}
		}
		if f.File != nil {
			a := sarifAttachment{sarifText{fmt.Sprintf("the %d frames of this finding", f.Count)}, sarifArtifactLocation{URI: f.File.Name}, map[string]any{"frames": ranges(f.Numbers), "sha256": f.File.SHA256}}
			s.Attachments = append([]sarifAttachment{a}, base.Attachments...)
		}
		all = append(all, s)
	}
	return all
}

// ranges are frame numbers as "3-7", the way capture tools take them.
func ranges(numbers []int) []string {
	all := []string{}
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		if i == j {
			all = append(all, fmt.Sprint(numbers[i]))
		} else {
			all = append(all, fmt.Sprintf("%d-%d", numbers[i], numbers[j]))
		}
		i = j + 1
	}
	return all
}

// sarifLocation is a file of the repository, which code hosts demand.
func (r Report) sarifLocation(line int) []sarifLocation {
	// Code hosts read it as a URI reference.
	uri := (&url.URL{Path: cmp.Or(r.Scope.Profile.Path, "built-in/"+cmp.Or(r.Scope.Client.Name, "client"))}).String()
	return []sarifLocation{{sarifPhysical{sarifArtifactLocation{URI: uri}, sarifRegion{max(line, 1)}}}}
}

// sarifGone are the findings of the baseline that are no more.
func (r Report) sarifGone(index map[string]int) []sarifResult {
	if r.Comparison == nil {
		return nil
	}
	var all []sarifResult
	for _, gone := range r.Comparison.Gone {
		name, fingerprint, _ := strings.Cut(gone, " ")
		id, _, _ := strings.Cut(name, "/")
		rule, ok := index[id]
		if !ok {
			continue
		}
		all = append(all, sarifResult{RuleID: id, RuleIndex: rule, Kind: "fail", Level: "note", Message: sarifText{"found before, and no longer"},
			Locations: r.sarifLocation(0), BaselineState: string(gate.Absent), Fingerprints: map[string]string{"vpnguardFlow/v1": fingerprint}})
	}
	return all
}

func (r Report) sarifNotifications() []sarifNotification {
	all := []sarifNotification{}
	for _, why := range r.Outcome.Reasons {
		all = append(all, sarifNotification{sarifText{why}, "error"})
	}
	for _, why := range slices.Concat(r.Outcome.Notes, r.Lacks) {
		all = append(all, sarifNotification{sarifText{why}, "note"})
	}
	return all
}

func (r Report) sarifArtifacts() []sarifArtifact {
	all, seen := []sarifArtifact{}, map[string]bool{}
	for _, one := range r.Results {
		for _, f := range one.files() {
			if !seen[f.Name] {
				all = append(all, sarifArtifact{sarifArtifactLocation{URI: f.Name}, []string{"attachment"}, map[string]string{"sha-256": f.SHA256}})
			}
			seen[f.Name] = true
		}
	}
	return all
}
