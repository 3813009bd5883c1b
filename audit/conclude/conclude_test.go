package conclude_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/audit/bundle"
	"github.com/vpnguard/vpnguard/audit/conclude"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/internal/sample"
)

var demands = conclude.Demands{Policy: []byte(sample.Policy)}

func concluded(t *testing.T) conclude.Conclusion {
	t.Helper()
	c, err := conclude.Audit(sample.Audit(), demands)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func verdicts(c conclude.Conclusion) map[string]verdict.Verdict {
	all := map[string]verdict.Verdict{}
	for _, r := range c.Report.Results {
		all[r.Name()] = r.Verdict
	}
	return all
}

func TestTheSampleHasACaseOfEveryVerdict(t *testing.T) {
	want := map[string]verdict.Verdict{
		"bind-to-device/udp": verdict.Leak, `bind-to-device/tcp <&> "quoted"`: verdict.Pass, "weak-host-v4/synack": verdict.Exposed,
		"selective-dos": verdict.OracleRemains, "client-crash/sigkill": verdict.Leak, "af-packet/plain": verdict.Inconclusive, "l2-chatter/lldp": verdict.Waived,
		"endpoint-kernel-transport": verdict.NotTested, "ipv6-native": verdict.NotApplicable, "boot-window": verdict.NotTested, "traffic-correlation": verdict.NotTested,
		"harmless/an echo through the tunnel": verdict.Pass,
	}
	c := concluded(t)
	if d := cmp.Diff(want, verdicts(c)); d != "" {
		t.Error(d)
	}
	if c.Report.Outcome.Status != gate.Found {
		t.Errorf("the outcome is %+v", c.Report.Outcome)
	}
}

func TestAReplayGivesTheSameReport(t *testing.T) {
	c := concluded(t)
	name := filepath.Join(t.TempDir(), "b.tar")
	if err := c.Files.Write(name); err != nil {
		t.Fatal(err)
	}
	f, err := bundle.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	again, otherwise, err := conclude.Replay(f, conclude.Demands{})
	if err != nil || len(otherwise) > 0 {
		t.Fatalf("%q, %v", otherwise, err)
	}
	one, _ := json.Marshal(c.Report)
	two, _ := json.Marshal(again.Report)
	if !bytes.Equal(one, two) {
		t.Errorf("the report changed:\n%s\n%s", one, two)
	}
}

// A bundle may be written anew by who wants to be believed; then its report
// and its evidence must agree.
func TestAReplayTellsWhatAReportHadOtherwise(t *testing.T) {
	c := concluded(t)
	for i, r := range c.Report.Results {
		if r.ID == "af-packet" {
			c.Report.Results[i].Verdict = verdict.Pass
		}
	}
	var text bytes.Buffer
	if err := c.Report.JSON(&text); err != nil {
		t.Fatal(err)
	}
	c.Files[bundle.ReportName] = text.Bytes()
	_, otherwise, err := conclude.Replay(c.Files, conclude.Demands{})
	if err != nil || len(otherwise) != 1 || otherwise[0] != "af-packet/plain was pass and is inconclusive" {
		t.Errorf("%q, %v", otherwise, err)
	}
}

func TestABaselineIsHeldAgainstTheNextAudit(t *testing.T) {
	first := concluded(t)
	var text bytes.Buffer
	if err := first.Report.Baseline(&text); err != nil {
		t.Fatal(err)
	}
	data := text.Bytes()
	d := conclude.Demands{Baseline: data, Policy: append([]byte("ratchet = true\n"), demands.Policy...)}
	c, err := conclude.Audit(sample.Audit(), d)
	if err != nil {
		t.Fatal(err)
	}
	if o := c.Report.Outcome; o.Status != gate.Inconclusive || !strings.Contains(strings.Join(o.Notes, "\n"), "was there before") {
		t.Errorf("the same audit again is %+v", o)
	}
	for _, r := range c.Report.Results {
		for _, f := range r.Findings {
			if f.State != gate.Unchanged {
				t.Errorf("%s is %q", r.Name(), f.State)
			}
		}
	}
	if _, err := conclude.Audit(sample.Audit(), conclude.Demands{Baseline: []byte("{}")}); err == nil {
		t.Error("a baseline that is none is taken")
	}
	if _, err := conclude.Audit(sample.Audit(), conclude.Demands{Policy: []byte("a = 1")}); err == nil {
		t.Error("a policy that is none is taken")
	}
}

func TestAReplayMayHoldOtherDemandsAgainstTheEvidence(t *testing.T) {
	c := concluded(t)
	again, otherwise, err := conclude.Replay(c.Files, conclude.Demands{Policy: []byte("threshold = \"critical\"\n")})
	if err != nil || len(otherwise) > 0 {
		t.Fatalf("%q, %v", otherwise, err)
	}
	if got := verdicts(again)["l2-chatter/lldp"]; got != verdict.Leak {
		t.Errorf("without its waiver it is %q", got)
	}
	if got := again.Report.Outcome.Reasons[0]; got != "client-crash/sigkill: leak" {
		t.Errorf("the first reason is %q", got)
	}
	if string(c.Files[bundle.PolicyName]) != sample.Policy {
		t.Error("the bundle was changed")
	}
}
