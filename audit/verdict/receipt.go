package verdict

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// receipts wants proof that each stimulus was really sent.
func receipts(run *evidence.Run) Proof {
	var p proof
	if run.Error != "" {
		p.lacks("the run could not be made in full: %s", run.Error)
	}
	if run.Started.IsZero() || !run.Started.Before(run.Ended) {
		p.lacks("the run has no times")
	}
	if len(run.Stimuli) == 0 {
		p.lacks("nothing was tried")
	}
	names := map[string]bool{}
	for _, s := range run.Stimuli {
		if names[s.Name] {
			p.lacks("two stimuli are called %q", s.Name)
		}
		names[s.Name] = true
		if s.Started.Before(run.Started) || s.Ended.Before(s.Started) || s.Ended.After(run.Ended) {
			p.lacks("%q was not tried within the run", s.Name)
		}
		p.receipt(s, run.Captures)
	}
	if run.Timeline != nil {
		p.stream(run.Timeline)
	}
	return p.as(ProofReceipt)
}

func (p *proof) receipt(s evidence.Stimulus, all []evidence.Capture) {
	if s.Planned < 1 || len(s.Sends) < s.Planned {
		p.lacks("%q tried %d of %d sends", s.Name, len(s.Sends), s.Planned)
		return
	}
	refused := map[string]int{}
	taken := 0
	for _, send := range s.Sends {
		switch {
		case send.Errno != 0:
			refused[fmt.Sprintf("errno %d, %s", send.Errno, send.Error)]++
		case send.Error != "":
			p.lacks("%q could not try %q: %s", s.Name, send.What, send.Error)
			return
		default:
			taken++
		}
	}
	for why, n := range refused {
		p.good = append(p.good, fmt.Sprintf("%q: %d sends refused (%s)", s.Name, n, why))
	}
	slices.Sort(p.good)
	if taken == 0 {
		return
	}
	if at := sighted(s, all); at != "" {
		p.holds("%q: seen at %s", s.Name, at)
		return
	}
	for _, w := range s.Witness {
		if strings.TrimSpace(w.Text) != "" {
			p.holds("%q: %s: %s", s.Name, w.Title, firstLine(w.Text))
			return
		}
	}
	p.lacks("%q: the kernel took %d sends, and nobody saw what became of them", s.Name, taken)
}

// sighted is the vantage point that saw a stimulus's marks: a witness, or the
// very wire where it should not be.
func sighted(s evidence.Stimulus, all []evidence.Capture) string {
	marks := s.Marks
	if len(marks) == 0 {
		marks = [][]byte{[]byte(s.Nonce)}
	}
	for _, c := range all {
		if c.Role == evidence.Internet {
			continue
		}
		for _, f := range c.Frames {
			if slices.ContainsFunc(marks, func(m []byte) bool { return len(m) > 0 && bytes.Contains(f.Data, m) }) {
				return c.Vantage
			}
		}
	}
	return ""
}

// stream wants it to have run from before the first event to after the last.
func (p *proof) stream(t *evidence.Timeline) {
	tried := t.Sent + t.Refused
	due := uint64(t.Ended.Sub(t.Started).Seconds() * float64(t.Rate))
	switch {
	case t.Rate < 1 || len(t.Events) == 0 || !t.Started.Before(t.Ended):
		p.lacks("the stream has no rate, no duration or no event")
	case t.Started.After(t.Events[0].At) || t.Ended.Before(t.Events[len(t.Events)-1].At):
		p.lacks("the stream did not run across all events")
	case tried < due/2:
		p.lacks("the stream tried %d datagrams where %d were due", tried, due)
	default:
		p.holds("the stream tried %d datagrams, %d of them refused, across %d events", tried, t.Refused, len(t.Events))
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
