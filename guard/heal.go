package guard

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

// Healed is what [Guard.Heal] found and did.
type Healed struct {
	State State
	Drift []string      // what was not as recorded, a sentence each
	Done  bool          // something was put right
	Rules bool          // rules were among it
	Names string        // what of the resolvers could not be put right; empty: nothing
	Took  time.Duration // until what was open was closed and verified, or to the end
}

// Heal compares what is enforced with what was recorded and puts it right: rules
// and sysctls that somebody changed, and fences for interfaces that came or were
// renamed. A change that a killed call left half done is completed if it
// closes; one that opens is left to `recover`, and the host closed.
//
// With force it puts everything in force anew whatever it finds; that is how a
// guardian takes the tables over.
func (g *Guard) Heal(ctx context.Context, force bool) (h Healed, err error) {
	start := time.Now()
	err = g.locked(ctx, func() error {
		defer g.healNames(&h) // last: the rules do not wait for names
		rec, found, err := g.load()
		if err != nil {
			h.State = Blocked
			return err
		}
		h.State = rec.state()
		if !found || rec.idle() || rec.Phase == Removing {
			return nil
		}
		same := false
		if !force && rec.Phase == Steady {
			if same, err = g.closeAgain(&h, rec); err != nil {
				return err
			}
			h.Took = time.Since(start)
		}
		return g.healRest(&h, rec, force, same)
	})
	if h.Took == 0 || !h.Done {
		h.Took = time.Since(start)
	}
	return h, err
}

// CloseAgain puts the recorded rules back without a look at what is in force, for
// the moment after somebody else changed them. [Guard.Heal] has to follow.
func (g *Guard) CloseAgain(ctx context.Context) (took time.Duration, err error) {
	start := time.Now()
	err = g.locked(ctx, func() error {
		rec, found, err := g.load()
		if err != nil || !found || rec.idle() || rec.Phase != Steady {
			return err
		}
		rs, err := rules.Build(rec.policy())
		if err != nil {
			return err
		}
		return g.Filter.Restore(rs)
	})
	return time.Since(start), err
}

// closeAgain puts the recorded rules in force if others are: what is open must
// not wait for a look at everything else.
// It reports whether the kernel has exactly the recorded rules now.
func (g *Guard) closeAgain(h *Healed, rec Record) (same bool, err error) {
	have, err := g.Filter.List()
	if err != nil {
		return false, fmt.Errorf("read the rules in force: %w", err)
	}
	if maps.Equal(rec.Fingerprints, have.Fingerprints()) {
		return true, nil
	}
	rs, err := rules.Build(rec.policy())
	if err != nil {
		return false, err
	}
	drift := append(have.Compare(rs), changed(rec.Fingerprints, have.Fingerprints())...)
	if have, err = g.Filter.Replace(rs); err != nil {
		return false, nil // a fence's interface may be gone: the full plan knows
	}
	h.Drift, h.Done, h.Rules = drift, true, true
	return maps.Equal(rec.Fingerprints, have.Fingerprints()), nil
}

// healRest compares everything and puts it right. Rules that are the same stay:
// a sysctl that cannot be set must not commit them again and again.
func (g *Guard) healRest(h *Healed, rec Record, force, same bool) error {
	links, err := g.Links.List()
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	plan, err := g.plan(rec, links)
	if err != nil {
		return err
	}
	var drift []string
	if !force {
		st := Status{State: h.State, Record: rec}
		if err := g.compareWith(&st, links); err != nil {
			return err
		}
		moved := wireDrift(rec.Wires, plan.Record.Wires)
		same = same && len(moved) == 0
		moved = append(moved, steerDrift(rec, plan.Record)...)
		if drift = append(st.Drift, moved...); len(drift) == 0 {
			return nil
		}
	}
	var done Record
	if same {
		if err := g.Journal.Save(plan.Record); err != nil {
			return unchanged(fmt.Errorf("record the change: %w", err))
		}
		done, err = g.harden(plan.Record, plan.Changes)
	} else {
		done, err = g.apply(plan)
		h.Rules = h.Rules || err == nil
	}
	h.State, h.Done, h.Drift = done.state(), h.Done || err == nil, append(h.Drift, drift...)
	return err
}

// wireDrift names wires whose fence does not fit them any more.
func wireDrift(was, is []rules.Wire) (drift []string) {
	for _, w := range is {
		i := slices.IndexFunc(was, func(o rules.Wire) bool { return o.Index == w.Index })
		switch {
		case i < 0:
			drift = append(drift, fmt.Sprintf("interface %s is new", w.Name))
		case was[i].Name != w.Name:
			drift = append(drift, fmt.Sprintf("interface %s was %s", w.Name, was[i].Name))
		case !slices.Equal(was[i].OnLink, w.OnLink):
			drift = append(drift, fmt.Sprintf("interface %s has other neighbours", w.Name))
		}
	}
	for _, o := range was {
		if !slices.ContainsFunc(is, func(w rules.Wire) bool { return o.Index == w.Index }) {
			drift = append(drift, fmt.Sprintf("interface %s is gone", o.Name))
		}
	}
	return drift
}

// Trial is the unconfirmed trial that goes on and what is left of it; an empty
// id: none.
func (g *Guard) Trial() (id string, left time.Duration) {
	rec, found, err := g.load()
	if err != nil || !found || rec.Lock == nil || rec.Lock.Try == "" {
		return "", 0
	}
	return rec.Lock.Try, max(0, rec.Lock.End-g.Uptime())
}

// RefreshNames asks again for the addresses of the lock's servers that were
// given by name, while a session is up, so that the question goes through the
// tunnel. Addresses are only added: the client may go back to an earlier one.
func (g *Guard) RefreshNames(ctx context.Context, limit time.Duration) (added []endpoint.Endpoint, err error) {
	rec, found, err := g.load()
	if err != nil || !found || rec.state() != Sealed || rec.Lock == nil || rec.Lock.named() == 0 {
		return nil, err
	}
	asked := *rec.Lock
	ends, _ := g.resolve(ctx, limit, asked.Names)
	err = g.locked(ctx, func() error {
		rec, found, err := g.load()
		if err != nil || !found || rec.state() != Sealed || rec.Lock == nil {
			return err
		}
		if !rec.Lock.Since.Equal(asked.Since) || !slices.Equal(rec.Lock.Names, asked.Names) {
			return nil // another lock by now, with servers of its own
		}
		next := rec.clone()
		lock := *rec.Lock
		lock.Endpoints = slices.Clone(lock.Endpoints)
		for _, e := range ends {
			if !slices.Contains(lock.Endpoints, e) && len(lock.Endpoints) < lock.most() {
				lock.Endpoints, added = append(lock.Endpoints, e), append(added, e)
			}
		}
		if len(added) == 0 {
			return nil
		}
		next.Lock = &lock
		if _, err := g.reapply(next); err != nil {
			return err
		}
		if lock.Try != "" {
			return nil
		}
		return g.keep(ctx, lock)
	})
	return added, err
}

// named counts the servers that were given by name.
func (l Lock) named() (n int) {
	for _, x := range l.Names {
		if _, ok := x.Endpoint(); !ok {
			n++
		}
	}
	return n
}

// most bounds how many endpoints names may lead to over time.
func (l Lock) most() int { return len(l.Names) + maxAddresses*l.named() }
