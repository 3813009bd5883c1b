package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// captures wants every deciding capture to have been alive throughout.
func captures(run *evidence.Run) Proof {
	var p proof
	first, last := span(run)
	wires, own := 0, 0
	names := map[string]bool{}
	for _, c := range run.Captures {
		if names[c.Vantage] {
			p.lacks("two captures are called %q", c.Vantage)
		}
		names[c.Vantage] = true
		if !c.Deciding() {
			continue
		}
		switch c.Role {
		case evidence.Wire:
			wires++
		case evidence.Host:
			own++
		case evidence.Internet, evidence.Inside, evidence.Source, evidence.Attacker:
		}
		if why := dead(c, first, last); len(why) > 0 {
			p.lacks("%s: %s", c.Vantage, strings.Join(why, ", "))
		} else {
			p.holds("%s: all canaries seen before, between and after, no frame lost or cut", c.Vantage)
		}
	}
	switch {
	case wires < own:
		p.lacks("not disproved: %d of %d links were watched by the host itself alone, which does not see all that leaves", own-wires, own)
	case wires == 0:
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
	return append(why, canaries(c, first, last)...)
}

// canaries wants all of each place to have been seen, the first ones before
// the stimuli and the last ones after them.
func canaries(c evidence.Capture, first, last time.Time) (why []string) {
	at := map[evidence.Place][]time.Time{}
	for _, k := range c.Canaries {
		if k.Sent < 1 || k.Seen != k.Sent {
			why = append(why, fmt.Sprintf("%d of %d canaries were seen %s", k.Seen, k.Sent, k.When))
		} else if !k.At.IsZero() {
			at[k.When] = append(at[k.When], k.At)
		}
	}
	start := slices.ContainsFunc(at[evidence.AtStart], func(t time.Time) bool { return !t.After(first) })
	end := slices.ContainsFunc(at[evidence.AtEnd], func(t time.Time) bool { return !t.Before(last) })
	between := start && end && slices.ContainsFunc(at[evidence.Between], func(t time.Time) bool {
		return !t.Before(slices.MinFunc(at[evidence.AtStart], time.Time.Compare)) && !t.After(slices.MaxFunc(at[evidence.AtEnd], time.Time.Compare))
	})
	if !start {
		why = append(why, "no canary before the stimuli")
	}
	if !between {
		why = append(why, "no canary in between")
	}
	if !end {
		why = append(why, "no canary after the stimuli")
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
