package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/gate"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

// JSON writes the canonical form.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// Baseline writes what to hold the next audit against.
func (r Report) Baseline(w io.Writer) error {
	var results []verdict.Result
	for _, one := range r.Results {
		v := one.Result
		v.Findings = nil
		for _, f := range one.Findings {
			v.Findings = append(v.Findings, f.Finding)
		}
		results = append(results, v)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(gate.BaselineOf(results))
}

// Parse reads the canonical form; name is the file's, for errors.
func Parse(name string, data []byte) (Report, error) {
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", name, err)
	}
	if r.Schema != Schema {
		return r, fmt.Errorf("%s: its schema is %q, not %q", name, r.Schema, Schema)
	}
	return r, nil
}

// Text writes the table for people; colour is for a terminal.
func (r Report) Text(w io.Writer, colour bool) error {
	var b bytes.Buffer
	p := printer{&b, colour}
	p.coverage(r.Coverage)
	p.line("")
	for _, one := range r.Worst() {
		said := slices.ContainsFunc(r.Coverage.Reasons, func(u Untested) bool { return u.ID == one.ID && u.Verdict != verdict.Inconclusive })
		if !said {
			p.result(one)
		}
	}
	p.list("what remains, even when nothing is found", r.Residual)
	p.list("what this report does not have", r.Lacks)
	if s := r.SelfTest; s != nil {
		p.line("")
		p.line("self-test: %d of %d mutants were noticed", s.Noticed, len(s.Mutants))
		for _, m := range s.Survivors {
			p.line("  survived without %s", strings.Join(m, " and "))
		}
	}
	p.line("")
	for _, why := range slices.Concat(r.Outcome.Reasons, r.Outcome.Notes) {
		p.line("  %s", why)
	}
	p.line("%s: %s", r.Outcome.Status, r.Statement)
	_, err := w.Write(b.Bytes())
	return err
}

type printer struct {
	w      io.Writer
	colour bool
}

// line prints one line without control characters: reports of others are
// printed, too, and a terminal obeys them.
func (p printer) line(format string, args ...any) {
	fmt.Fprintln(p.w, oneLine(fmt.Sprintf(format, args...)))
}

func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

func (p printer) coverage(c Coverage) {
	p.line("%d classes of leaks are known: %d tested, %d inconclusive, %d not tested, %d not applicable",
		c.Classes, c.Tested, c.Inconclusive, c.NotTested, c.NotApplicable)
	p.line("%d of %d controls showed their leak with the guard off", c.Fired, c.Controls)
	for _, g := range grouped(c.Reasons) {
		if g.Verdict != verdict.Inconclusive { // those come below
			p.line("  %-14s %s: %s", g.Verdict, g.Why, g.ID)
		}
	}
}

// grouped joins the ids of one reason.
func grouped(all []Untested) []Untested {
	var groups []Untested
	for _, u := range all {
		i := slices.IndexFunc(groups, func(g Untested) bool { return g.Verdict == u.Verdict && g.Why == u.Why })
		if i < 0 {
			groups = append(groups, u)
		} else {
			groups[i].ID += ", " + u.ID
		}
	}
	return groups
}

func (p printer) list(title string, all []string) {
	if len(all) == 0 {
		return
	}
	p.line("")
	p.line("%s:", title)
	for _, s := range all {
		p.line("  %s", s)
	}
}

// result prints a line for a pass, and all that is known of a finding.
func (p printer) result(r Result) {
	severity := ""
	if r.Verdict.Finding() || r.Found.Finding() {
		severity = " (" + severityText(r.Severity) + ")"
	}
	fmt.Fprintf(p.w, "%s %s\n", p.paint(r.Verdict), oneLine(r.Name()+severity))
	if r.Verdict == verdict.Pass {
		return
	}
	for _, why := range r.Reasons {
		p.line("  %s", why)
	}
	for _, f := range r.Findings {
		const most = 3
		for i, frame := range f.Frames {
			if i == most {
				p.line("    and %d more", f.Count-most)
				break
			}
			p.line("    #%d %s", frame.Number, frame.Text)
		}
		if f.File != nil {
			p.line("    in %s", f.File.Name)
		}
	}
	for _, run := range r.Runs {
		if t := run.Timeline; t != nil && run.Phase == evidence.Guarded {
			p.line("  %s", timelineText(*t))
		}
	}
	if r.Fix != "" {
		p.line("  closed by: %s", r.Fix)
	}
	if len(r.Reproduce) > 0 {
		p.line("  again: %s", shell(r.Reproduce))
	}
}

// timelineText is a stream's account in a line.
func timelineText(t verdict.Timeline) string {
	text := fmt.Sprintf("%d datagrams a second, %d tried, %d refused, %d in the tunnel, %d leaked", t.Rate, t.Sent+t.Refused, t.Refused, t.Tunnelled, t.Leaked)
	if t.Leaked > 0 {
		text += fmt.Sprintf(" from %.3f s to %.3f s", t.First.Sub(t.Started).Seconds(), t.Last.Sub(t.Started).Seconds())
	}
	for _, e := range t.Events {
		text += fmt.Sprintf("; at %.3f s %s", e.At.Sub(t.Started).Seconds(), e.What)
	}
	return text
}

// paint pads a verdict, and colours it by how bad it is.
func (p printer) paint(v verdict.Verdict) string {
	text := oneLine(fmt.Sprintf("%-22s", v))
	if !p.colour {
		return text
	}
	code := map[verdict.Verdict]string{
		verdict.Leak: "1;31", verdict.Exposed: "31", verdict.Inconclusive: "35", verdict.OracleRemains: "33", verdict.Waived: "33", verdict.Pass: "32",
	}[v]
	if code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// shell quotes a command for a POSIX shell.
func shell(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_./:=,@+%", r))
		}) {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// took is how long a case took, in seconds.
func (r Result) took() float64 {
	var d time.Duration
	for _, run := range r.Runs {
		d += run.Ended.Sub(run.Started)
	}
	return max(d.Seconds(), 0)
}
