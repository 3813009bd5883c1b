package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/audit/conclude"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/report"
	"github.com/vpnguard/vpnguard/internal/sample"
)

// called runs the program in this process.
func called(args ...string) (code int, stdout, stderr string) {
	var out, message bytes.Buffer
	code = run(context.Background(), world{args: args, stdout: &out, stderr: &message})
	return code, out.String(), message.String()
}

func bundled(t *testing.T, a evidence.Audit, policy string) string {
	t.Helper()
	c, err := conclude.Audit(a, conclude.Demands{Policy: []byte(policy)})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := c.Files.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// only keeps the cases of one name.
func only(a evidence.Audit, ids ...string) evidence.Audit {
	var cases []evidence.Case
	for _, c := range a.Cases {
		for _, id := range ids {
			if c.ID+"/"+c.Variant == id || c.ID == id {
				cases = append(cases, c)
			}
		}
	}
	a.Cases = cases
	return a
}

func TestReplayExitsAsTheAuditWould(t *testing.T) {
	const passes = `bind-to-device/tcp <&> "quoted"`
	for _, c := range []struct {
		name string
		ids  []string
		want int
	}{
		{"a pass", []string{passes}, exitDone},
		{"an oracle", []string{passes, "selective-dos"}, exitDone},
		{"a leak", []string{passes, "client-crash"}, exitDrift},
		{"many leaks count as one", []string{"bind-to-device", "client-crash", "weak-host-v4"}, exitDrift},
		{"an exposure", []string{"weak-host-v4"}, exitDrift},
		{"inconclusive", []string{passes, "af-packet"}, exitInconclusive},
		{"nothing", nil, exitInconclusive},
		{"a leak and inconclusive", []string{"client-crash", "af-packet"}, exitDrift},
	} {
		code, out, message := called("audit", "replay", bundled(t, only(sample.Audit(), c.ids...), ""))
		if code != c.want || message != "" || !strings.HasPrefix(out, "10 classes of leaks are known") {
			t.Errorf("%s: exit %d, want %d: %s%s", c.name, code, c.want, out, message)
		}
	}
}

func TestReplayRefusesABundleWithOneChangedByte(t *testing.T) {
	dir := bundled(t, sample.Audit(), sample.Policy)
	files := 0
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		altered := bytes.Clone(text)
		altered[len(altered)/2] ^= 1
		if err := os.WriteFile(name, altered, 0o644); err != nil {
			return err
		}
		code, out, message := called("audit", "replay", dir)
		if code != exitFailed || out != "" || !strings.Contains(message, "the bundle was altered") || !strings.Contains(message, "hint: nothing was concluded") {
			t.Errorf("with a changed %q: exit %d: %s%s", name, code, out, message)
		}
		return os.WriteFile(name, text, 0o644)
	})
	if err != nil || files < 20 {
		t.Fatalf("%d files: %v", files, err)
	}
	if code, _, message := called("audit", "replay", dir); code != exitDrift || message != "" {
		t.Errorf("put right again: exit %d: %s", code, message)
	}
}

func TestReplayTellsWhereABundlesReportDisagrees(t *testing.T) {
	c, err := conclude.Audit(sample.Audit(), conclude.Demands{Policy: []byte(sample.Policy)})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range c.Report.Results {
		if r.ID == "client-crash" {
			c.Report.Results[i].Verdict = "pass"
		}
	}
	var text bytes.Buffer
	if err := c.Report.JSON(&text); err != nil {
		t.Fatal(err)
	}
	c.Files["report.json"] = text.Bytes()
	name := filepath.Join(t.TempDir(), "b.tar")
	if err := c.Files.Write(name); err != nil { // with a manifest that is right
		t.Fatal(err)
	}
	code, _, message := called("audit", "replay", name)
	if code != exitFailed || !strings.Contains(message, "client-crash/sigkill was pass and is leak") {
		t.Errorf("exit %d: %s", code, message)
	}
}

func TestReplayWritesEveryForm(t *testing.T) {
	dir, to := bundled(t, sample.Audit(), sample.Policy), t.TempDir()
	args := []string{"audit", "replay", dir}
	for form := range auditFormats {
		args = append(args, "--format", form+"="+filepath.Join(to, form))
	}
	if code, out, message := called(args...); code != exitDrift || out != "" || message != "" {
		t.Fatalf("exit %d: %s%s", code, out, message)
	}
	for form, begins := range map[string]string{
		"text": "10 classes", "json": "{\n  \"schema\": \"" + report.Schema, "sarif": "{\n  \"$schema\"", "code-scanning": "{\n  \"$schema\"", "junit": "<?xml", "tap": "TAP version 14", "html": "<!doctype html>",
		"annotations": "::error", "summary": "## vpnguard audit", "baseline": "{\n  \"schema\": \"vpnguard-audit-baseline/1\"", "attestation": "{\n  \"_type\"",
	} {
		text, err := os.ReadFile(filepath.Join(to, form))
		if err != nil || !strings.HasPrefix(string(text), begins) {
			t.Errorf("%s: %v: %.60q", form, err, text)
		}
	}
	_, out, _ := called("audit", "replay", dir, "--format", "json")
	var r report.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Results) != 12 {
		t.Errorf("the output is no report: %v", err)
	}
}

func TestReplayHoldsABaselineAndAPolicyAgainstTheEvidence(t *testing.T) {
	dir, to := bundled(t, only(sample.Audit(), "client-crash", "selective-dos"), ""), t.TempDir()
	baseline, policy := filepath.Join(to, "baseline.json"), filepath.Join(to, "policy.toml")
	if code, _, message := called("audit", "replay", dir, "--format", "baseline="+baseline); code != exitDrift {
		t.Fatalf("exit %d: %s", code, message)
	}
	if err := os.WriteFile(policy, []byte("ratchet = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, message := called("audit", "replay", dir, "--baseline", baseline, "--policy", policy); code != exitDone || !strings.Contains(out, "was there before") {
		t.Errorf("exit %d: %s%s", code, out, message)
	}
	if code, _, message := called("audit", "replay", dir, "--baseline", baseline); code != exitDrift {
		t.Errorf("without the ratchet: exit %d: %s", code, message)
	}
}

func TestReplayRefusesWhatItCannotRead(t *testing.T) {
	dir, to := bundled(t, sample.Audit(), ""), t.TempDir()
	bad, unknown := filepath.Join(to, "bad.toml"), filepath.Join(to, "unknown.toml")
	for name, text := range map[string]string{bad: "thresold = 'low'", unknown: "required = ['no-such-leak']"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{filepath.Join(to, "none")}, exitFailed, "no such file"},
		{[]string{to}, exitFailed, "it has no \"manifest.json\""},
		{[]string{bad}, exitFailed, "the bundle was altered"},
		{[]string{dir, "--format", "pdf"}, exitUsage, "want one of annotations, "},
		{[]string{dir, "--format", "sarif="}, exitUsage, "want one of"},
		{[]string{dir, "--format", "sarif", "--format", "tap"}, exitUsage, "2 forms would share the output"},
		{[]string{dir, "--policy", bad}, exitUsage, `unknown key "thresold"`},
		{[]string{dir, "--policy", unknown}, exitUsage, `"no-such-leak" is no id`},
		{[]string{dir, "--baseline", bad}, exitUsage, "baseline.json: "},
		{[]string{dir, "--format", "tap=" + filepath.Join(to, "none", "x")}, exitFailed, "no such file"},
		{nil, exitUsage, "expected \"<bundle>\""},
	} {
		code, out, message := called(append([]string{"audit", "replay"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(message, c.want) {
			t.Errorf("%q: exit %d, want %d %q: %s%s", c.args, code, c.code, c.want, out, message)
		}
	}
}
