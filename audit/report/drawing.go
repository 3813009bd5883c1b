package report

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// The grid of the drawing, in its own units. A node's box takes a name of two
// lines and four addresses.
const (
	cellWidth  = 250
	nodeWidth  = 190
	nodeHeight = 116
	nodeGap    = 56 // between rows, vantage points left out
	lineHeight = 17
)

// Drawing is the topology as SVG, along the page or, tall, down it. Everything
// in it is escaped here, because the template takes it as it is.
func (r Report) Drawing(tall bool) template.HTML {
	d := drawing{tall: tall, at: map[string][2]int{}}
	most := 0
	for _, n := range r.Topology.Nodes {
		most = max(most, len(r.eyes(n.Name)))
	}
	cellHeight := nodeHeight + nodeGap + most*lineHeight
	var columns, rows int
	for _, n := range r.Topology.Nodes {
		x, y := bound(n.Column), bound(n.Row)
		if tall {
			x, y = y, x
		}
		columns, rows = max(columns, x+1), max(rows, y+1)
		d.at[n.Name] = [2]int{x*cellWidth + cellWidth/2, y*cellHeight + nodeGap + nodeHeight/2}
	}
	for _, l := range r.Topology.Links {
		d.link(l)
	}
	for _, n := range r.Topology.Nodes {
		d.node(n)
		for i, v := range r.eyes(n.Name) {
			c := d.at[n.Name]
			d.text("eye", c[0], c[1]+nodeHeight/2+(i+1)*lineHeight, "middle", "◉ "+v)
		}
	}
	class := "wide"
	if tall {
		class = "tall"
	}
	return template.HTML(fmt.Sprintf(`<svg class="%s" viewBox="0 0 %d %d" role="img" aria-label="topology">%s</svg>`, class, columns*cellWidth, rows*cellHeight+nodeGap/2, d.out.String()))
}

// eyes are the vantage points at a node, a few of them.
func (r Report) eyes(node string) []string {
	var all []string
	for _, v := range r.Topology.Vantages {
		if v.Node == node && len(all) < 6 {
			all = append(all, v.Name)
		}
	}
	return all
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
	switch {
	case !l.Tunnel:
		fmt.Fprintf(&d.out, `<line class="cable" x1="%d" y1="%d" x2="%d" y2="%d"/>`, a[0], a[1], b[0], b[1])
		d.text("small", x, y-8, "middle", l.Label)
	// A tunnel goes around what it passes: above, or to the right.
	case d.tall:
		side := max(a[0], b[0]) + nodeWidth/2 + 22
		fmt.Fprintf(&d.out, `<path class="tunnel" d="M%d %d H%d V%d H%d"/>`, a[0], a[1], side, b[1], b[0])
		d.text("small", side, min(a[1], b[1])-nodeHeight/2-8, "end", l.Label)
	default:
		top := min(a[1], b[1]) - nodeHeight/2 - 22
		fmt.Fprintf(&d.out, `<path class="tunnel" d="M%d %d V%d H%d V%d"/>`, a[0], a[1], top, b[0], b[1])
		d.text("small", x, top-6, "middle", l.Label)
	}
}

func (d *drawing) node(n evidence.Node) {
	c := d.at[n.Name]
	x, y := c[0]-nodeWidth/2, c[1]-nodeHeight/2
	fmt.Fprintf(&d.out, `<rect class="node" x="%d" y="%d" width="%d" height="%d" rx="6"/>`, x, y, nodeWidth, nodeHeight)
	y += 20
	for _, part := range wrapped(n.Label) {
		d.text("name", c[0], y, "middle", part)
		y += lineHeight
	}
	y += 3
	for _, a := range n.Addresses[:min(4, len(n.Addresses))] {
		d.text("small", c[0], y, "middle", a)
		y += lineHeight
	}
}

// wrapped breaks a label into at most two lines that fit a box.
func wrapped(label string) []string {
	const most = 21
	words := strings.Fields(label)
	lines := []string{""}
	for _, w := range words {
		last := len(lines) - 1
		switch {
		case lines[last] == "":
			lines[last] = w
		case len(lines[last])+1+len(w) <= most || last == 1:
			lines[last] += " " + w
		default:
			lines = append(lines, w)
		}
	}
	return lines
}
