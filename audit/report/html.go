package report

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"slices"
	"sync"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

//go:embed page.html
var pageText string

// page is made when it is asked for: every hook is this program too.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"dump": func(b []byte) string { return hex.Dump(b) }, "inc": func(n int) int { return n + 1 }, "named": named,
	}).Parse(pageText))
})

// HTML writes one page that needs no other file, no script and no network.
func (r Report) HTML(w io.Writer) error {
	p := htmlPage{Report: r, Command: shell(r.Scope.Command), Untested: grouped(r.Coverage.Reasons)}
	for i, one := range r.Worst() {
		h := htmlResult{Result: one, Anchor: fmt.Sprintf("case-%d", i+1), Open: one.Verdict == verdict.Leak || one.Verdict == verdict.Exposed, Again: shell(one.Reproduce)}
		for _, run := range one.Runs {
			if run.Timeline != nil {
				h.Lines = append(h.Lines, newLine(run.Phase, *run.Timeline))
			}
		}
		for _, f := range one.Findings {
			h.Findings = append(h.Findings, newHTMLFinding(f))
		}
		if one.Verdict == verdict.NotTested || one.Verdict == verdict.NotApplicable {
			p.Silent = append(p.Silent, h)
		} else {
			p.Loud = append(p.Loud, h)
		}
	}
	var b bytes.Buffer
	if err := page().Execute(&b, p); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

type htmlPage struct {
	Report
	Loud     []htmlResult // that say something
	Silent   []htmlResult // that were not tested
	Command  string
	Untested []Untested
}

type htmlResult struct {
	Result
	Anchor string
	Open   bool
	Again  string
	Lines  []line
	// Findings has the first frames in sight, and the others one click away.
	Findings []htmlFinding
}

type htmlFinding struct {
	Finding
	More  []verdict.Frame
	Shown int
}

func newHTMLFinding(f Finding) htmlFinding {
	const most = 3
	h := htmlFinding{Finding: f, Shown: len(f.Frames)}
	if len(f.Frames) > most {
		h.Frames, h.More = f.Frames[:most], f.Frames[most:]
	}
	return h
}

// line is a timeline as it is drawn: a bar for each step, the tunnel's
// datagrams below and the leaked ones on top.
type line struct {
	verdict.Timeline
	Phase  evidence.Phase
	Tried  uint64
	Bars   []bar
	Marks  []float64 // events, in bars
	Length string    // in seconds
	Story  []string
}

type bar struct {
	X                  int
	In, InY, Out, OutY float64 // of 100
}

func newLine(phase evidence.Phase, t verdict.Timeline) line {
	l := line{Timeline: t, Phase: phase, Tried: t.Sent + t.Refused, Length: fmt.Sprintf("%.3f", t.Ended.Sub(t.Started).Seconds())}
	most := 1
	steps := min(len(t.LeakedBins), len(t.TunnelledBins))
	for i := range steps {
		most = max(most, t.LeakedBins[i]+t.TunnelledBins[i])
	}
	for i := range steps {
		b := bar{X: i, In: 100 * float64(t.TunnelledBins[i]) / float64(most), Out: 100 * float64(t.LeakedBins[i]) / float64(most)}
		b.InY, b.OutY = 100-b.In, 100-b.In-b.Out
		l.Bars = append(l.Bars, b)
	}
	story := slices.Clone(t.Events)
	for _, e := range t.Events {
		l.Marks = append(l.Marks, float64(e.At.Sub(t.Started).Milliseconds())/float64(max(t.BinMS, 1)))
	}
	if t.Leaked > 0 {
		story = append(story, evidence.Event{At: t.First, What: "the first leaked"}, evidence.Event{At: t.Last, What: "the last leaked"})
	}
	slices.SortStableFunc(story, func(a, b evidence.Event) int { return a.At.Compare(b.At) })
	for _, e := range story {
		l.Story = append(l.Story, fmt.Sprintf("%.3f s: %s", e.At.Sub(t.Started).Seconds(), e.What))
	}
	return l
}
