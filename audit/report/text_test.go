package report_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/report"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// VPNGUARD_UPDATE=1 writes the golden files anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("VPNGUARD_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: %s", file, d)
	}
}

func TestTheTextIsAsItWas(t *testing.T) {
	r := sampled(t)
	golden(t, "sample.txt", written(t, func(w io.Writer) error { return r.Text(w, false) }))
	golden(t, "summary.md", written(t, r.Summary))
	golden(t, "annotations.txt", written(t, r.Annotations))
}

func TestColourIsOnlyWhereItIsAskedFor(t *testing.T) {
	r := sampled(t)
	plain := written(t, func(w io.Writer) error { return r.Text(w, false) })
	if strings.ContainsRune(plain, 0x1b) {
		t.Error("there is an escape without colour")
	}
	coloured := written(t, func(w io.Writer) error { return r.Text(w, true) })
	if !strings.Contains(coloured, "\x1b[1;31mleak ") || !strings.Contains(coloured, "\x1b[32mpass ") {
		t.Error("a leak or a pass has no colour")
	}
}

func TestATerminalDoesNotObeyAReport(t *testing.T) {
	r := sampled(t)
	r.Results[0].Variant = "\x1b]0;title\a\r"
	r.Results[0].Reasons = []string{"\x1b[2J\u009b31m"}
	r.Residual = []string{"\x1b[H"}
	r.Results[0].Verdict = "\x1b[31m"
	text := written(t, func(w io.Writer) error { return r.Text(w, false) })
	if i := strings.IndexAny(text, "\x1b\a\r\u009b"); i >= 0 {
		t.Errorf("there is a control character in %q", text[max(0, i-40):i+1])
	}
	for _, one := range strings.Split(strings.TrimSpace(written(t, r.Annotations)), "\n") {
		if !strings.HasPrefix(one, "::") {
			t.Errorf("a line is no annotation: %q", one)
		}
	}
}

func TestAReportSaysHowMuchItSaysBeforeAnythingElse(t *testing.T) {
	r := sampled(t)
	text := written(t, func(w io.Writer) error { return r.Text(w, false) })
	if !strings.HasPrefix(text, "10 classes of leaks are known: 5 tested, 1 inconclusive, 3 not tested, 1 not applicable\n") {
		t.Errorf("it begins with %.100q", text)
	}
}

// Nothing that was observed is called impossible.
func TestACleanReportClaimsNoMoreThanItsProbes(t *testing.T) {
	a := evidence.Audit{Catalogue: []evidence.Class{{ID: "a"}}}
	c := &evidence.Case{ID: "a", Runs: make([]evidence.Run, 2)}
	r := report.New(report.Input{Audit: a, Outcome: gate.Outcome{Status: gate.Clean}, Results: []verdict.Result{
		{ID: "a", Verdict: verdict.Pass, Fired: true, Case: c}, {ID: "a", Variant: "b", Verdict: verdict.Pass, Fired: true, Case: c},
	}})
	if r.Statement != "no leak observed under these 2 probes" {
		t.Errorf("it claims %q", r.Statement)
	}
	for _, write := range []func(io.Writer) error{r.JSON, r.SARIF, r.JUnit, r.TAP, r.Annotations, r.Summary, r.HTML, func(w io.Writer) error { return r.Text(w, false) }} {
		text := written(t, write)
		if strings.Contains(strings.ToLower(text), "leak-free") || strings.Contains(text, "no leaks") {
			t.Errorf("it claims too much: %s", text)
		}
		if !strings.Contains(text, "no leak observed under these 2 probes") {
			t.Errorf("it does not say what it claims: %.300s", text)
		}
	}
	var none report.Report
	if got := report.New(report.Input{}).Statement; got != "nothing can be concluded" || none.Outcome.Status == gate.Clean {
		t.Errorf("an empty audit claims %q", got)
	}
}

func TestTheCanonicalFormReadsBack(t *testing.T) {
	r := sampled(t)
	text := written(t, r.JSON)
	again, err := report.Parse("r.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(text, written(t, again.JSON)); d != "" {
		t.Error(d)
	}
	for _, write := range [][2]func(io.Writer) error{{r.SARIF, again.SARIF}, {r.JUnit, again.JUnit}, {r.TAP, again.TAP}, {r.HTML, again.HTML}, {r.Summary, again.Summary}} {
		if d := cmp.Diff(written(t, write[0]), written(t, write[1])); d != "" {
			t.Errorf("read back, it is rendered otherwise: %s", d)
		}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"schema", "statement", "outcome", "coverage", "lacks", "scope", "results", "environment", "topology", "residual", "self_test", "evidence_sha256"} {
		if fields[want] == nil {
			t.Errorf("it has no %q", want)
		}
	}
	if _, err := report.Parse("r.json", []byte(strings.Replace(text, report.Schema, "vpnguard-audit-report/2", 1))); err == nil {
		t.Error("a later form is read as if it were this one")
	}
}
