package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

// maxAnnotations is how many GitHub shows of a step.
const maxAnnotations = 10

// Annotations writes workflow commands for the worst few; all are in the
// summary.
func (r Report) Annotations(w io.Writer) error {
	var b bytes.Buffer
	n := 0
	for _, one := range r.Worst() {
		level := "error"
		switch one.Verdict {
		case verdict.Leak, verdict.Exposed, verdict.Inconclusive:
		case verdict.OracleRemains, verdict.Waived:
			level = "warning"
		case verdict.Pass, verdict.NotTested, verdict.NotApplicable:
			continue
		}
		if n == maxAnnotations {
			break
		}
		n++
		fmt.Fprintf(&b, "::%s ", level)
		if r.Scope.Profile.Path != "" {
			fmt.Fprintf(&b, "file=%s,line=%d,", property(r.Scope.Profile.Path), max(one.Line, 1))
		}
		fmt.Fprintf(&b, "title=%s::%s\n", property(string(one.Verdict)+": "+one.Name()), data(strings.Join(one.Reasons, "\n")))
	}
	level := "notice"
	if r.Outcome.Status != gate.Clean {
		level = "error"
	}
	fmt.Fprintf(&b, "::%s title=vpnguard audit::%s\n", level, data(r.Statement))
	_, err := w.Write(b.Bytes())
	return err
}

// data and property escape as workflow commands want it.
func data(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func property(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(text)
}

// Summary writes Markdown for a workflow's step summary: coverage first, then
// every case.
func (r Report) Summary(w io.Writer) error {
	var b bytes.Buffer
	c := r.Coverage
	fmt.Fprintf(&b, "## vpnguard audit: %s\n\n%s\n\n", r.Outcome.Status, markdown(r.Statement))
	fmt.Fprintf(&b, "Of %d known classes of leaks %d were tested, %d inconclusive, %d not tested, %d not applicable; %d of %d controls showed their leak with the guard off.\n\n",
		c.Classes, c.Tested, c.Inconclusive, c.NotTested, c.NotApplicable, c.Fired, c.Controls)
	fmt.Fprintf(&b, "| client | guard | kernel | evidence |\n| --- | --- | --- | --- |\n| %s | %s | %s | `%s` |\n\n",
		markdown(named(r.Scope.Client)), markdown(named(r.Scope.Guard)), markdown(r.Environment.Kernel), cmp.Or(r.EvidenceSHA256, "none kept"))
	b.WriteString("| verdict | case | severity | why |\n| --- | --- | --- | --- |\n")
	for _, one := range r.Worst() {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", one.Verdict, oneLine(strings.ReplaceAll(one.Name(), "`", "'")), severityText(one.Severity), markdown(strings.Join(one.Reasons, "; ")))
	}
	for _, part := range []struct {
		title string
		all   []string
	}{{"What remains, even when nothing is found", r.Residual}, {"What this report does not have", r.Lacks}, {"Notes", r.Outcome.Notes}} {
		if len(part.all) > 0 {
			fmt.Fprintf(&b, "\n### %s\n\n", part.title)
		}
		for _, s := range part.all {
			fmt.Fprintf(&b, "- %s\n", markdown(s))
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// markdown takes from a text what would be more than text.
func markdown(text string) string {
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "&", "&amp;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]", `\]`).Replace(oneLine(text))
}

// profile names what was audited.
func (r Report) profile() string {
	return oneLine(cmp.Or(r.Scope.Profile.Path, r.Scope.Profile.SHA256, cmp.Or(r.Scope.Client.Name, "client")+" built in"))
}

func named(n evidence.Named) string {
	return strings.TrimSpace(strings.Join([]string{n.Name, n.Version, n.Commit}, " "))
}
