package guard

import (
	"context"
	"errors"
	"fmt"

	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/internal/fault"
	"github.com/vpnguard/vpnguard/state"
)

// setNames gives the sessions of the record their resolvers, or gives the host
// its own back if none has any. It is called under rules that are in force: a
// failure leaves names that do not resolve, which is said, and nothing open.
func (g *Guard) setNames(rec Record, why whyNames) (warnings []string) {
	if g.Names == nil {
		return nil
	}
	rec, err := g.tellApart(rec)
	if err != nil {
		return said(err)
	}
	w, want := rec.wish()
	if w.Empty() {
		warnings, err := g.restoreNames()
		return append(warnings, said(err)...)
	}
	err = g.withNames(func() (err error) {
		if warnings, err = g.changeNames(w, want, why); err != nil {
			err = errors.Join(err, g.noteProblem(err))
		}
		return err
	})
	if err != nil {
		return append(warnings, fmt.Sprintf("the session's resolvers are not set: %v; names are blocked, and those of the host are left as they are", err))
	}
	if err := g.letAsk(rec); err != nil {
		warnings = append(warnings, fmt.Sprintf("names that are not the session's cannot be asked elsewhere: %v", err))
	}
	return warnings
}

// whyNames says whether a change is wanted or repairs what somebody else changed.
type whyNames uint8

const (
	namesRepaired whyNames = iota
	namesAsked
)

func said(err error) []string {
	if err == nil {
		return nil
	}
	return []string{err.Error()}
}

// withNames holds the record of names.
func (g *Guard) withNames(f func() error) error {
	wait, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	if err := g.NamesJournal.Lock(wait); err != nil {
		return fmt.Errorf("record resolvers: %w", err)
	}
	return errors.Join(f(), g.NamesJournal.Unlock())
}

// changeNames records, sets and looks whether it is so.
func (g *Guard) changeNames(w dns.Wish, want dns.Owner, why whyNames) (warnings []string, err error) {
	old, found, err := g.loadNames()
	if err != nil {
		return nil, err
	}
	// What we set hides from whom we took it; a repair keeps to it as well.
	owner := old.Saved.Owner
	if !found || owner == "" || why == namesAsked && g.ownerMoved(old.Saved, want) {
		if owner, err = g.Names.Detect(want); err != nil {
			return nil, err
		}
	}
	if found && old.Saved.Owner != "" && old.Saved.Owner != owner {
		if warnings, err = g.Names.Restore(old.Saved); err != nil {
			return warnings, fmt.Errorf("give the resolvers back that were set by %s: %w", old.Saved.Owner, err)
		}
		old.Saved = dns.Saved{}
	}
	var before *dns.Saved
	if old.Saved.Owner != "" {
		before = &old.Saved
	}
	next := naming{Phase: Applying, NetNS: g.NetNS}
	if why == namesRepaired {
		next.Again, next.GaveUp = old.Again, old.GaveUp
	}
	if next.Saved, err = g.Names.Prepare(owner, before, w); err != nil {
		return warnings, err
	}
	if err := g.NamesJournal.Save(next); err != nil {
		return warnings, fmt.Errorf("record the change: %w", err)
	}
	fault.Point("names.recorded")
	applied, err := g.Names.Apply(next.Saved)
	if err == nil {
		if drift := g.Names.Verify(applied); len(drift) > 0 {
			err = errors.New(drift[0])
		}
	}
	fault.Point("names.set")
	if err != nil && before == nil { // nothing of ours may stay half done
		if _, undone := g.Names.Restore(next.Saved); undone == nil {
			applied = dns.Saved{}
		}
	}
	next.Phase, next.Saved = Steady, applied
	return warnings, errors.Join(err, g.NamesJournal.Save(next))
}

// noteProblem keeps for `status` why names are not set.
func (g *Guard) noteProblem(problem error) error {
	n, found, err := g.loadNames()
	if err != nil {
		return nil // that was the problem
	}
	if !found {
		n = naming{Phase: Steady, NetNS: g.NetNS}
	}
	n.Problem = problem.Error()
	return g.NamesJournal.Save(n)
}

// ownerMoved reports whether what we set is gone and somebody else may own the
// configuration now, or another owner is asked for.
func (g *Guard) ownerMoved(old dns.Saved, want dns.Owner) bool {
	return want != "" && want != old.Owner || len(g.Names.Verify(old)) > 0
}

// restoreNames gives the host its own resolvers back. What cannot be given back
// stays recorded.
func (g *Guard) restoreNames() (warnings []string, err error) {
	if g.Names == nil {
		return nil, nil
	}
	n, found, err := g.loadNames()
	if err != nil || !found {
		return nil, err
	}
	err = g.withNames(func() error {
		if n.Saved.Owner != "" {
			n.Phase = Removing
			if err := g.NamesJournal.Save(n); err != nil {
				return fmt.Errorf("record the change of resolvers: %w", err)
			}
			fault.Point("names.restoring")
			if warnings, err = g.Names.Restore(n.Saved); err != nil {
				return fmt.Errorf("give the host's resolvers back: %w", err)
			}
			fault.Point("names.restored")
		}
		return g.NamesJournal.Remove()
	})
	return warnings, err
}

// recoverNames gives the host its resolvers back whatever is recorded of them.
func (g *Guard) recoverNames(res *Result) error {
	warnings, err := g.restoreNames()
	res.Warnings = append(res.Warnings, warnings...)
	var damaged *state.CorruptError
	if !errors.As(err, &damaged) {
		return err
	}
	return g.withNames(func() error {
		kept, errKept := g.NamesJournal.Quarantine()
		if errKept != nil {
			return errors.Join(err, errKept)
		}
		return &StateError{fmt.Errorf("%w; it is kept as %q", err, kept), "the host is open, but its resolvers are not given back: look at /etc/resolv.conf"}
	})
}
