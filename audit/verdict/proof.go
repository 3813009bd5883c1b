package verdict

import (
	"fmt"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// proofs are what a pass of one repetition needs.
func proofs(c *evidence.Case, rep pair, g looked) []Proof {
	if c.Passive {
		return []Proof{captures(rep.guarded), explained(g)}
	}
	all := []Proof{
		receipts(rep.guarded),
		captures(rep.guarded),
		tunnel("", rep.guarded),
		explained(g),
	}
	if c.Innocent {
		return all
	}
	return append([]Proof{control(c, rep), same(rep)}, all...)
}

// proof collects reasons for and against.
type proof struct{ good, bad []string }

func (p *proof) holds(format string, args ...any) {
	p.good = append(p.good, fmt.Sprintf(format, args...))
}
func (p *proof) lacks(format string, args ...any) {
	p.bad = append(p.bad, fmt.Sprintf(format, args...))
}

func (p *proof) as(what string) Proof {
	if len(p.bad) > 0 || len(p.good) == 0 {
		if len(p.bad) == 0 {
			p.bad = []string{"there is none"}
		}
		return Proof{What: what, Why: p.bad}
	}
	return Proof{What: what, Holds: true, Why: p.good}
}

// explained wants a reason for every frame.
func explained(g looked) Proof {
	var p proof
	for _, c := range g.Captures {
		switch {
		case !c.Decides:
		case c.Unknown > 0:
			p.lacks("%s: nothing explains %d of %d frames", c.Vantage, c.Unknown, c.Frames)
		default:
			p.holds("%s: %d frames", c.Vantage, c.Frames)
		}
	}
	for _, d := range g.doubts {
		p.lacks("%s", d)
	}
	return p.as(ProofExplains)
}
