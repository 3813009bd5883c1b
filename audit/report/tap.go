package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/vpnguard/vpnguard/audit/verdict"
)

// TAP writes version 14 of the Test Anything Protocol: a line for each variant
// with counts and digests below. What a waiver accepts is "not ok" and TODO;
// inconclusive is "not ok" and never a skip.
func (r Report) TAP(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "TAP version 14\n1..%d\n", len(r.Results))
	fmt.Fprintf(&b, "# %s\n", oneLine(r.Statement))
	for i, one := range r.Results {
		ok, directive := "not ok", ""
		switch one.Verdict {
		case verdict.Pass, verdict.OracleRemains:
			ok = "ok"
		case verdict.NotTested, verdict.NotApplicable:
			ok, directive = "ok", "SKIP "+string(one.Verdict)+": "+firstOf(one.Reasons)
		case verdict.Waived:
			directive = "TODO " + firstOf(one.Reasons)
		case verdict.Leak, verdict.Exposed, verdict.Inconclusive:
		}
		fmt.Fprintf(&b, "%s %d - %s", ok, i+1, tapEscape(one.Name()))
		if directive != "" {
			fmt.Fprintf(&b, " # %s", tapEscape(directive))
		}
		b.WriteByte('\n')
		one.yaml(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// tapEscape keeps a description from ending or becoming a directive.
func tapEscape(text string) string {
	return strings.NewReplacer(`\`, `\\`, "#", `\#`).Replace(oneLine(text))
}

// yaml writes the block of a case, in the part of YAML that every reader of
// TAP knows.
func (r Result) yaml(b *bytes.Buffer) {
	text := func(s string) string {
		return "'" + strings.ReplaceAll(strings.ToValidUTF8(oneLine(s), "?"), "'", "''") + "'"
	}
	fmt.Fprintf(b, "  ---\n  verdict: %s\n  severity: %s\n  duration_ms: %.0f\n", text(string(r.Verdict)), text(string(r.Severity)), r.took()*1000)
	if len(r.Reasons) > 0 {
		b.WriteString("  reasons:\n")
		for _, why := range r.Reasons {
			fmt.Fprintf(b, "    - text: %s\n", text(why)) // a bare string with a colon would be a key to some
		}
	}
	if len(r.Findings) > 0 {
		b.WriteString("  findings:\n")
		for _, f := range r.Findings {
			fmt.Fprintf(b, "    - flow: %s\n      frames: %d\n      fingerprint: %s\n", text(f.Flow), f.Count, text(f.Fingerprint))
		}
	}
	if files := r.files(); len(files) > 0 {
		b.WriteString("  evidence:\n")
		for _, f := range files {
			fmt.Fprintf(b, "    - file: %s\n      sha256: %s\n", text(f.Name), text(f.SHA256))
		}
	}
	b.WriteString("  ...\n")
}
