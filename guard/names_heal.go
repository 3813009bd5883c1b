package guard

import (
	"fmt"
	"slices"
	"time"
)

// healNames sets resolvers again that somebody else changed, and gives back
// those of sessions that are no more.
func (g *Guard) healNames(h *Healed) {
	if g.Names == nil {
		return
	}
	rec, found, err := g.load()
	if err != nil || found && rec.Phase != Steady {
		return
	}
	n, named, err := g.loadNames()
	if err != nil {
		h.Names = err.Error()
		return
	}
	w, _ := rec.wish()
	if w.Empty() {
		if named {
			warnings, err := g.restoreNames()
			h.Drift, h.Done = append(h.Drift, "resolvers of a session that is no more"), err == nil
			h.Names = firstOf(append(warnings, said(err)...))
		}
		return
	}
	drift := append(g.namesDrift(rec, n, named), g.apartDrift(rec, n)...)
	if len(drift) == 0 {
		return
	}
	h.Names = drift[0]
	if rec, err = g.tellApart(rec); err != nil { // first, whatever follows
		h.Names = err.Error()
		return
	}
	if n.GaveUp {
		h.Names = gaveUp(drift[0])
		return
	}
	if n.Again = append(recent(n.Again, g.Now()), g.Now()); len(n.Again) > maxAgain {
		n.GaveUp = true
	}
	if named {
		if err := g.withNames(func() error { return g.NamesJournal.Save(n) }); err != nil {
			h.Names = err.Error()
			return
		}
	}
	if n.GaveUp {
		h.Names = gaveUp(drift[0])
		return
	}
	if warnings := g.setNames(rec, namesRepaired); len(warnings) > 0 {
		h.Names = warnings[0]
		return
	}
	h.Names, h.Drift, h.Done = "", append(h.Drift, drift...), true
}

func gaveUp(drift string) string {
	return fmt.Sprintf("%s; they were set again %d times within %s and are left to whoever changes them until the next `vpnguard up`", drift, maxAgain, againWindow)
}

func recent(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return now.Sub(t) > againWindow })
}

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}
