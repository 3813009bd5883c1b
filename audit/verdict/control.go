package verdict

import (
	"slices"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
)

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
	if rep.control.Started.IsZero() || !rep.control.Started.Before(rep.control.Ended) {
		p.lacks("the control has no times")
	}
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
func same(rep pair) Proof {
	var p proof
	if rep.control == nil {
		p.lacks("there is no control to compare with")
		return p.as(ProofSame)
	}
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
	p.holds("%d stimuli in the same order, watched at %v", len(s1), w1)
	return p.as(ProofSame)
}
