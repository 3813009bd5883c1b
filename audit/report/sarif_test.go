package report_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif" // carries the standard's schema
	"github.com/xeipuuv/gojsonschema"

	"github.com/vpnguard/vpnguard/audit/conclude"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/report"
	"github.com/vpnguard/vpnguard/internal/sample"
)

// sarifSchema is the schema of the standard as a module of others has it, so
// that it need not be kept here.
func sarifSchema(t *testing.T) *gojsonschema.Schema {
	t.Helper()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(dir)), "schema.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	ast.Inspect(file, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && len(l.Value) > len(text) {
			text, err = strconv.Unquote(l.Value)
		}
		return err == nil
	})
	if err != nil || !strings.Contains(text, "sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json") {
		t.Fatalf("no schema of SARIF 2.1.0 was found: %v: %.200s", err, text)
	}
	schema, err := gojsonschema.NewSchema(gojsonschema.NewStringLoader(text))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func problems(t *testing.T, schema *gojsonschema.Schema, text []byte) (all []string) {
	t.Helper()
	result, err := schema.Validate(gojsonschema.NewBytesLoader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range result.Errors() {
		all = append(all, e.String())
	}
	return all
}

func sarif(t *testing.T, r report.Report) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.SARIF(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSARIFIsValidByItsSchema(t *testing.T) {
	schema := sarifSchema(t)
	before := sampled(t)
	var baseline gate.Baseline
	for _, r := range before.Results {
		baseline.Results = append(baseline.Results, gate.Known{ID: r.ID, Variant: r.Variant, Verdict: r.Verdict, Fingerprints: []string{"gone"}})
	}
	baseline.Schema = gate.Schema
	known, err := json.Marshal(baseline)
	if err != nil {
		t.Fatal(err)
	}
	compared, err := conclude.Audit(sample.Audit(), conclude.Demands{Policy: []byte(sample.Policy), Baseline: known})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]report.Report{"sample": before, "with a baseline": compared.Report, "empty": report.New(report.Input{})} {
		for _, p := range problems(t, schema, sarif(t, r)) {
			t.Errorf("%s: %s", name, p)
		}
	}
	if ps := problems(t, schema, []byte(written(t, compared.Report.CodeScanning))); len(ps) > 0 {
		t.Errorf("for code scanning: %q", ps)
	}
	// The schema must be able to refuse.
	for _, change := range [][2]string{{`"kind": "fail"`, `"kind": "failed"`}, {`"text":`, `"txt":`}, {`"version": "2.1.0"`, `"version": "2.1"`}} {
		broken := bytes.Replace(sarif(t, before), []byte(change[0]), []byte(change[1]), 1)
		if len(problems(t, schema, broken)) == 0 {
			t.Errorf("the schema takes %s", change[1])
		}
	}
}

func TestSARIFSaysWhatTheReportSays(t *testing.T) {
	r := sampled(t)
	var log struct {
		Runs []struct {
			Tool struct {
				Driver struct {
					Rules []struct {
						ID         string
						Properties map[string]any
					}
				}
			}
			Results []struct {
				RuleID, Kind, Level string
				RuleIndex           int
				Message             struct{ Text string }
				PartialFingerprints map[string]string
				Suppressions        []struct{ Justification string }
				Attachments         []struct {
					ArtifactLocation struct{ URI string }
					Properties       map[string]any
				}
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
				}
				Properties map[string]any
			}
		}
	}
	if err := json.Unmarshal(sarif(t, r), &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	kinds := map[string]string{}
	for _, one := range run.Results {
		kinds[one.RuleID] += one.Kind + ":" + one.Level + " "
		rule := run.Tool.Driver.Rules[one.RuleIndex]
		if rule.ID != one.RuleID {
			t.Errorf("%q has the index of %q", one.RuleID, rule.ID)
		}
		if at := one.Locations[0].PhysicalLocation; at.ArtifactLocation.URI != "vpn/office%20site.conf" || at.Region.StartLine < 1 {
			t.Errorf("%q is at %+v", one.RuleID, at)
		}
		if one.Message.Text == "" {
			t.Errorf("%q says nothing", one.RuleID)
		}
		if one.RuleID == "client-crash" {
			if got := one.Attachments[0].Properties["frames"].([]any)[0]; got != "1-100" {
				t.Errorf("its frames are %v", got)
			}
		}
		if one.RuleID == "l2-chatter" && (len(one.Suppressions) != 1 || !strings.Contains(one.Suppressions[0].Justification, "net team, until 2031-01-31")) {
			t.Errorf("the waiver is %+v", one.Suppressions)
		}
		if (one.Kind == "fail") != (len(one.PartialFingerprints) > 0 && one.Kind != "review") {
			t.Errorf("%q of kind %q has the fingerprints %v", one.RuleID, one.Kind, one.PartialFingerprints)
		}
	}
	want := map[string]string{
		"bind-to-device": "fail:error pass:none ", "weak-host-v4": "fail:warning ", "selective-dos": "review:none ", "client-crash": "fail:error ",
		"af-packet": "open:none ", "l2-chatter": "fail:note ", "endpoint-kernel-transport": "open:none ", "ipv6-native": "notApplicable:none ",
		"boot-window": "open:none ", "traffic-correlation": "open:none ", "harmless": "pass:none ",
	}
	for id, kind := range want {
		if kinds[id] != kind {
			t.Errorf("%s is %q, want %q", id, kinds[id], kind)
		}
	}
	if rule := run.Tool.Driver.Rules[0]; rule.Properties["security-severity"] != "8.0" {
		t.Errorf("the severity is %v", rule.Properties)
	}
}

// A code host makes an alert of each result, also of a pass or a waiver.
func TestCodeScanningGetsOnlyWhatIsToBeMended(t *testing.T) {
	var log struct {
		Runs []struct {
			Results []struct{ RuleID, Kind, Level string }
		}
	}
	if err := json.Unmarshal([]byte(written(t, sampled(t).CodeScanning)), &log); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, one := range log.Runs[0].Results {
		got += one.RuleID + ":" + one.Kind + ":" + one.Level + " "
	}
	if want := "bind-to-device:fail:error weak-host-v4:fail:warning client-crash:fail:error "; got != want {
		t.Errorf("it gets %q, want %q", got, want)
	}
}
