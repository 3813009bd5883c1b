package report

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"dump": func(b []byte) string { return hex.Dump(b) }, "inc": func(n int) int { return n + 1 }, "named": named,
}).Parse(pageText))

// HTML writes one page that needs no other file, no script and no network.
func (r Report) HTML(w io.Writer) error {
	p := htmlPage{Report: r, Command: shell(r.Scope.Command)}
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
		p.Worst = append(p.Worst, h)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, p); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

type htmlPage struct {
	Report
	Worst   []htmlResult
	Command string
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

// The grid of the drawing, in its own units: a node with a name and up to
// four addresses fits a cell.
const (
	cellWidth  = 250
	cellHeight = 150
	nodeWidth  = 190
	nodeHeight = 100
)

// Drawing is the topology as SVG, along the page or, tall, down it. Everything
// in it is escaped here, because the template takes it as it is.
func (p htmlPage) Drawing(tall bool) template.HTML {
	d := drawing{tall: tall, at: map[string][2]int{}}
	var columns, rows int
	for _, n := range p.Topology.Nodes {
		x, y := bound(n.Column), bound(n.Row)
		if tall {
			x, y = y, x
		}
		columns, rows = max(columns, x+1), max(rows, y+1)
		d.at[n.Name] = [2]int{x*cellWidth + cellWidth/2, y*cellHeight + cellHeight/2 + 30}
	}
	for _, l := range p.Topology.Links {
		d.link(l)
	}
	for _, n := range p.Topology.Nodes {
		d.node(n)
	}
	for _, v := range p.Topology.Vantages {
		d.vantage(v)
	}
	class := "wide"
	if tall {
		class = "tall"
	}
	return template.HTML(fmt.Sprintf(`<svg class="%s" viewBox="0 0 %d %d" role="img" aria-label="topology">%s</svg>`, class, columns*cellWidth, rows*cellHeight+40, d.out.String()))
}

// bound keeps a drawing of others from being without end.
func bound(n int) int { return min(max(n, 0), 20) }

type drawing struct {
	tall bool
	at   map[string][2]int // centres
	out  strings.Builder
}

func (d *drawing) text(class string, x, y int, anchor, text string) {
	fmt.Fprintf(&d.out, `<text class="%s" x="%d" y="%d" text-anchor="%s">%s</text>`, class, x, y, anchor, template.HTMLEscapeString(text))
}

func (d *drawing) link(l evidence.Link) {
	a, okA := d.at[l.From]
	b, okB := d.at[l.To]
	if !okA || !okB {
		return
	}
	x, y := (a[0]+b[0])/2, (a[1]+b[1])/2
	if !l.Tunnel {
		fmt.Fprintf(&d.out, `<line class="cable" x1="%d" y1="%d" x2="%d" y2="%d"/>`, a[0], a[1], b[0], b[1])
		d.text("small", x+d.pick(0, 14), y-d.pick(8, -4), d.anchor(), l.Label)
		return
	}
	// A tunnel goes around what it passes: above, or to the right.
	if d.tall {
		side := max(a[0], b[0]) + nodeWidth/2 + 22
		fmt.Fprintf(&d.out, `<path class="tunnel" d="M%d %d H%d V%d H%d"/>`, a[0], a[1], side, b[1], b[0])
		d.text("small", side-4, y, "end", l.Label)
		return
	}
	top := min(a[1], b[1]) - nodeHeight/2 - 26
	fmt.Fprintf(&d.out, `<path class="tunnel" d="M%d %d V%d H%d V%d"/>`, a[0], a[1], top, b[0], b[1])
	d.text("small", x, top-6, "middle", l.Label)
}

func (d *drawing) pick(wide, tall int) int {
	if d.tall {
		return tall
	}
	return wide
}

func (d *drawing) anchor() string {
	if d.tall {
		return "start"
	}
	return "middle"
}

func (d *drawing) node(n evidence.Node) {
	c := d.at[n.Name]
	x, y := c[0]-nodeWidth/2, c[1]-nodeHeight/2
	fmt.Fprintf(&d.out, `<rect class="node" x="%d" y="%d" width="%d" height="%d" rx="6"/>`, x, y, nodeWidth, nodeHeight)
	d.text("name", c[0], y+22, "middle", n.Label)
	for i, a := range n.Addresses {
		const most = 4
		if i == most {
			break
		}
		d.text("small", c[0], y+42+i*16, "middle", a)
	}
}

// vantage is written beside the node on the side of the link that it watches.
func (d *drawing) vantage(v evidence.Vantage) {
	c, ok := d.at[v.Node]
	if !ok {
		return
	}
	peer, beside := d.at[v.Peer]
	switch {
	case beside && !d.tall && peer[0] < c[0]:
		d.text("eye", c[0]-nodeWidth/2-4, c[1]+18, "end", "◉ "+v.Name)
	case beside && !d.tall && peer[0] > c[0]:
		d.text("eye", c[0]+nodeWidth/2+4, c[1]+18, "start", "◉ "+v.Name)
	case beside && d.tall && peer[1] < c[1]:
		d.text("eye", c[0]-14, c[1]-nodeHeight/2-6, "end", "◉ "+v.Name)
	default:
		d.text("eye", c[0], c[1]+nodeHeight/2+16, "middle", "◉ "+v.Name)
	}
}
