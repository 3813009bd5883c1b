package guardian

import (
	"context"
	"fmt"
	"time"

	"github.com/vpnguard/vpnguard/nft"
)

// closeAgain answers a change of our tables by somebody else at once; what it
// was is looked at afterwards.
func (g *Guardian) closeAgain(ctx context.Context) {
	took, err := g.Guard.CloseAgain(ctx)
	if err != nil {
		return // the full look says what is wrong
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = took
}

// blame notes who changed our tables; it reports whether anybody did, and
// whether somebody else did.
func (g *Guardian) blame(list []nft.Change, own string) (ours, foreign bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range list {
		if !c.Ours {
			continue
		}
		ours = true
		if c.Program != own {
			foreign = true
			g.what = append(g.what, c.What...)
			who := fmt.Sprintf("%s (pid %d)", c.Program, c.PID)
			if c.Lost {
				who = "more changes than could be followed"
			}
			if len(g.since) < maxCulprits {
				g.since = append(g.since, who)
			}
		}
	}
	g.what = g.what[:min(len(g.what), maxCulprits)]
	return ours, foreign
}

// whyRuleset is the reason of a look after somebody else changed our tables.
const whyRuleset = "ruleset"

// maxCulprits bounds what one repair names.
const maxCulprits = 8

// heal looks at everything and puts right what differs.
func (g *Guardian) heal(ctx context.Context, why string) {
	if g.owed {
		g.lockAsKept(ctx)
	}
	h, err := g.Guard.Heal(ctx, false)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tellNames(h.Names)
	culprits, what, closed := g.since, g.what, g.closed
	g.since, g.what, g.closed = nil, nil, 0
	if closed > 0 {
		h.Took, h.Done = closed, h.Done || err == nil
	}
	if h.Done {
		h.Drift = append(what, h.Drift...)
	}
	if g.stats.state != h.State {
		g.Log.Info("state", "was", g.stats.state.String(), "is", h.State.String())
		g.stats.state = h.State
	}
	if err != nil || h.Done && !h.Rules {
		g.futile++
	} else {
		g.futile = 0
	}
	if err != nil {
		if ctx.Err() == nil {
			g.Log.Error("cannot heal", "why", why, "found", h.Drift, "culprits", culprits, "error", err)
		}
		return
	}
	if !h.Done {
		return
	}
	g.stats.heals++
	g.stats.last = &Heal{At: time.Now(), Took: h.Took, Drift: h.Drift, Culprits: culprits}
	g.Log.Warn("healed", "why", why, "found", h.Drift, "culprits", culprits, "took", h.Took.String())
}

// watchTrial sets the timer to the end of a trial that goes on. The record's
// own timer, a process apart, does the same when no guardian runs.
func (g *Guardian) watchTrial(timer *time.Timer) {
	id, left := g.Guard.Trial()
	switch {
	case g.ending != "": // its next try is on its way
	case id == "":
		timer.Stop()
	default:
		timer.Reset(left)
	}
}

// expire ends the trial whose time is over; it reports whether there is nothing
// left to end.
func (g *Guardian) expire(ctx context.Context) bool {
	id, left := g.Guard.Trial()
	if g.ending != "" && id == "" {
		id, left = g.ending, 0
	}
	if id == "" || left > 0 {
		g.ending = ""
		return true
	}
	if _, err := g.Guard.Expire(ctx, id); err != nil {
		g.ending = id
		g.Log.Error("cannot end the trial, trying again", "error", err)
		return false
	}
	g.ending = ""
	g.Log.Warn("the trial was not confirmed and undid itself")
	return true
}
