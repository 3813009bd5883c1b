package verdict

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
)

// proofs are what a pass of one repetition needs.
func proofs(c *evidence.Case, rep pair, g looked) []Proof {
	all := []Proof{
		receipts(rep.guarded),
		captures(rep.guarded),
		tunnel("", rep.guarded),
		explained(g),
	}
	if c.Innocent {
		return all
	}
	return append([]Proof{control(c, rep)}, all...)
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

// control wants the same stimuli with the guard off to have shown on the wire.
func control(c *evidence.Case, rep pair) Proof {
	var p proof
	if rep.control == nil {
		p.lacks("no control was run with the guard off")
		return p.as(ProofControl)
	}
	if rep.control.Error != "" {
		p.lacks("the control could not be run in full: %s", rep.control.Error)
	}
	p.same(rep)
	off := account(c, rep.control, policy.Policy{})
	signed := false
	for _, s := range rep.control.Stimuli {
		if len(s.Signs.Needles)+len(s.Signs.Flows)+len(s.Signs.Mentions) == 0 {
			continue
		}
		signed = true
		if n := off.shown[s.Name]; n > 0 {
			p.holds("%q showed %d frames with the guard off", s.Name, n)
		} else {
			p.lacks("%q shows nothing with the guard off, so that its silence with the guard on proves nothing", s.Name)
		}
	}
	for _, o := range rep.control.Oracles {
		switch {
		case o.Harm == evidence.Oracle: // it remains because the guard is on
		case o.Probed != o.Quiet:
			signed = true
			p.holds("%s was %d with the guard off, and %d without the stimulus", o.What, o.Probed, o.Quiet)
		default:
			p.lacks("%s is the same with and without the stimulus, with the guard off", o.What)
		}
	}
	for _, d := range off.doubts {
		p.lacks("%s", d)
	}
	if !signed {
		p.lacks("no stimulus has signs by which the wire could show it")
	}
	if t := tunnel("the control's ", rep.control); !t.Holds {
		p.bad = append(p.bad, t.Why...)
	}
	return p.as(ProofControl)
}

// same wants both phases to have tried the same and watched the same.
func (p *proof) same(rep pair) {
	type tried struct {
		name, node string
		uid, sends int
	}
	what := func(r *evidence.Run) (stimuli []tried, watched []string, readings []string) {
		for _, s := range r.Stimuli {
			stimuli = append(stimuli, tried{s.Name, s.Node, s.UID, s.Planned})
		}
		for _, c := range r.Captures {
			if c.Deciding() {
				watched = append(watched, c.Vantage)
			}
		}
		for _, o := range r.Oracles {
			readings = append(readings, o.What)
		}
		slices.Sort(watched)
		return stimuli, watched, readings
	}
	s1, w1, r1 := what(rep.control)
	s2, w2, r2 := what(rep.guarded)
	if !slices.Equal(s1, s2) {
		p.lacks("the control tried %v and the guarded run %v", s1, s2)
	}
	if !slices.Equal(w1, w2) {
		p.lacks("the control was watched at %v and the guarded run at %v", w1, w2)
	}
	if !slices.Equal(r1, r2) {
		p.lacks("the control read %q and the guarded run %q", r1, r2)
	}
	if (rep.control.Timeline == nil) != (rep.guarded.Timeline == nil) {
		p.lacks("only one of control and guarded run has a stream")
	}
}

// receipts wants proof that each stimulus was really sent.
func receipts(run *evidence.Run) Proof {
	var p proof
	if run.Error != "" {
		p.lacks("the run could not be made in full: %s", run.Error)
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

// sighted is the vantage point that saw a stimulus's marks.
func sighted(s evidence.Stimulus, all []evidence.Capture) string {
	marks := s.Marks
	if len(marks) == 0 {
		marks = [][]byte{[]byte(s.Nonce)}
	}
	for _, c := range all {
		if c.Role != evidence.Inside && c.Role != evidence.Source && c.Role != evidence.Attacker {
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

// captures wants every deciding capture to have been alive throughout.
func captures(run *evidence.Run) Proof {
	var p proof
	first, last := span(run)
	wires := 0
	for _, c := range run.Captures {
		if !c.Deciding() {
			continue
		}
		if c.Role == evidence.Wire {
			wires++
		}
		if why := dead(c, first, last); len(why) > 0 {
			p.lacks("%s: %s", c.Vantage, strings.Join(why, ", "))
		} else {
			p.holds("%s: all canaries seen before, between and after, no frame lost or cut", c.Vantage)
		}
	}
	if wires == 0 {
		p.lacks("no wire was watched")
	}
	return p.as(ProofCapture)
}

// span is from the first thing that was tried to the last.
func span(run *evidence.Run) (first, last time.Time) {
	first, last = run.Ended, run.Started
	see := func(from, to time.Time) {
		if from.Before(first) {
			first = from
		}
		if to.After(last) {
			last = to
		}
	}
	for _, s := range run.Stimuli {
		see(s.Started, s.Ended)
	}
	if t := run.Timeline; t != nil {
		see(t.Started, t.Ended)
	}
	return first, last
}

func dead(c evidence.Capture, first, last time.Time) (why []string) {
	if c.Error != "" {
		why = append(why, "the capture ended: "+c.Error)
	}
	if c.Drops > 0 {
		why = append(why, fmt.Sprintf("%d frames were lost", c.Drops))
	}
	cut := 0
	for _, f := range c.Frames {
		if f.Len != len(f.Data) {
			cut++
		}
	}
	if cut > 0 {
		why = append(why, fmt.Sprintf("%d frames were cut", cut))
	}
	if c.Count != len(c.Frames) {
		why = append(why, fmt.Sprintf("%d frames were recorded and %d are here", c.Count, len(c.Frames)))
	}
	var start, between, end bool
	for _, k := range c.Canaries {
		if k.Sent < 1 || k.Seen != k.Sent {
			why = append(why, fmt.Sprintf("%d of %d canaries were seen %s", k.Seen, k.Sent, k.When))
			continue
		}
		switch k.When {
		case evidence.AtStart:
			start = start || !k.At.IsZero() && !k.At.After(first)
		case evidence.Between:
			between = between || !k.At.Before(first) && !k.At.After(last)
		case evidence.AtEnd:
			end = end || !k.At.Before(last)
		}
	}
	for _, place := range []struct {
		there bool
		name  evidence.Place
	}{{start, evidence.AtStart}, {between, evidence.Between}, {end, evidence.AtEnd}} {
		if !place.there {
			why = append(why, fmt.Sprintf("no canary %s the stimuli", place.name))
		}
	}
	return why
}

// tunnel wants the tunnel to have worked when it had to.
func tunnel(whose string, run *evidence.Run) Proof {
	var p proof
	t := run.Tunnel
	switch t.Need {
	case evidence.During:
	case evidence.Before, evidence.After, evidence.Never:
		if strings.TrimSpace(t.Why) == "" {
			p.lacks("%stunnel need not work throughout, for no reason", whose)
		}
	default:
		p.lacks("%stunnel must work %q, which is no time", whose, t.Need)
	}
	if t.Need == evidence.Never {
		p.holds("no tunnel is needed: %s", t.Why)
		return p.as(ProofTunnel)
	}
	n := 0
	for _, c := range t.Checks {
		if c.When != t.Need {
			continue
		}
		switch {
		case c.At.Before(run.Started) || c.At.After(run.Ended):
			p.lacks("%stunnel: %s was not checked within the run", whose, c.What)
		case !c.Works:
			p.lacks("%stunnel does not work: %s: %s", whose, c.What, c.Detail)
		default:
			n++
		}
	}
	if n == 0 {
		p.lacks("%stunnel was not seen to work %s the stimuli", whose, cmp.Or(string(t.Need), "during"))
	} else {
		p.holds("%stunnel worked: %d checks", whose, n)
	}
	return p.as(ProofTunnel)
}

// explained wants a reason for every frame.
func explained(g looked) Proof {
	var p proof
	for _, c := range g.Captures {
		if c.Unknown > 0 {
			p.lacks("%s: nothing explains %d of %d frames", c.Vantage, c.Unknown, c.Frames)
		} else {
			p.holds("%s: %d frames", c.Vantage, c.Frames)
		}
	}
	for _, d := range g.doubts {
		p.lacks("%s", d)
	}
	return p.as(ProofExplains)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
