package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/state"
)

// Lock is the kill switch: the host is closed with or without a session.
type Lock struct {
	Endpoints []endpoint.Endpoint `json:"endpoints"` // resolved ones included
	Names     []endpoint.OrName   `json:"names"`     // as given
	Owner     rules.Owner         `json:"owner"`
	Bootstrap []netip.Addr        `json:"bootstrap_dns"`
	Settings  Settings            `json:"settings"`
	Try       string              `json:"try"`    // names an unconfirmed trial; empty: it stays
	Until     time.Time           `json:"until"`  // when an unconfirmed trial ends, by the wall clock: for people
	End       time.Duration       `json:"end"`    // the same by the clock that nobody sets (CLOCK_BOOTTIME)
	Before    *Lock               `json:"before"` // what a trial took the place of; nil: no lock
	Since     time.Time           `json:"since"`
}

// LockRequest asks to close the host.
type LockRequest struct {
	Names          []endpoint.OrName
	ResolveTimeout time.Duration
	UIDs           []uint32
	Mark, Mask     uint32
	Cgroup         string
	Bootstrap      []netip.Addr
	Settings       Settings
	Try            time.Duration // 0: it stays; else it undoes itself unless confirmed
	TryID          string        // names the trial, if Try is not 0
	Kept           bool          // nothing was asked for: what was kept over a boot, if anything, counts
	OnlyKept       bool          // and without that, nothing is done
}

// Lock closes the host. A lock that is no trial is kept over boots.
//
// An error that is not a [StateError] left the host as it was.
func (g *Guard) Lock(ctx context.Context, r LockRequest, dryRun bool) (res Result, err error) {
	// Before the record is locked, as in Up.
	var found lookedUp
	if !r.Kept || !g.HasKept() {
		found.ends, found.warnings = g.resolve(ctx, r.ResolveTimeout, r.Names)
	}
	if dryRun {
		plan, warnings, err := g.prepareLock(r, found)
		if err != nil {
			return Result{}, err
		}
		for _, c := range plan.Changes {
			res.Knobs = append(res.Knobs, fmt.Sprintf("%s = %d (was %d)", c.Knob, c.New, c.Old))
		}
		res.Text, res.Routing, res.Warnings = plan.Ruleset.Replacement(), plan.Record.Steer.Lines(), warnings
		return res, nil
	}
	err = g.locked(ctx, func() error {
		if r.OnlyKept && !g.HasKept() {
			rec, _, err := g.load()
			res = Result{State: rec.state(), Done: []string{"no lock is kept; nothing to do"}}
			return err
		}
		var plan Plan
		var warnings []string
		var rec Record
		err := g.again(func() (err error) {
			if plan, warnings, err = g.prepareLock(r, found); err != nil {
				return unchanged(err)
			}
			rec, err = g.apply(plan)
			return err
		})
		if err != nil {
			return err
		}
		res = Result{State: rec.state(), Warnings: append(warnings, rec.left()...)}
		res.Warnings = append(res.Warnings, g.setLockedNames(rec)...)
		if plan.Damage != nil {
			return &StateError{plan.Damage, "the host is locked, without any endpoint; `vpnguard lock` with endpoints, or `vpnguard unlock`, writes it anew"}
		}
		if rec.Lock.Try != "" {
			return nil
		}
		if err := g.keep(ctx, *rec.Lock); err != nil {
			return &StateError{err, "the host is locked, but it will be open after a reboot"}
		}
		return nil
	})
	return res, err
}

// lookedUp is what names led to.
type lookedUp struct {
	ends     []endpoint.Endpoint
	warnings []string
}

func (g *Guard) prepareLock(r LockRequest, looked lookedUp) (Plan, []string, error) {
	rec, _, err := g.load()
	if err != nil {
		return Plan{}, nil, err
	}
	var damage error
	lock, warnings, err := g.makeLock(r, looked)
	if errors.As(err, new(*state.CorruptError)) || errors.As(err, new(*state.NewerError)) {
		// At boot there is nobody to ask: closed, without any endpoint.
		lock, damage, err = Lock{Owner: rules.Owner{UIDs: []uint32{0}}, Since: g.Now()}, err, nil
	}
	if err != nil {
		return Plan{}, nil, err
	}
	links, err := g.Links.List()
	if err != nil {
		return Plan{}, nil, fmt.Errorf("list interfaces: %w", err)
	}
	if err := checkGuests(lock.Settings.Guests, links); err != nil {
		return Plan{}, nil, err
	}
	if lock.Try != "" {
		lock.Before = rec.Lock.permanent()
	}
	next := rec.clone()
	next.Lock, next.Asker = &lock, nil
	plan, err := g.plan(next, links)
	plan.Damage = damage
	return plan, warnings, err
}

// makeLock makes a lock of the request. At boot nothing can be resolved, so a
// kept lock comes with the addresses that it had.
func (g *Guard) makeLock(r LockRequest, looked lookedUp) (Lock, []string, error) {
	if r.Kept {
		kept, found, err := g.kept()
		if err != nil || found {
			return g.renewed(kept), nil, err
		}
	}
	ends, warnings := looked.ends, looked.warnings
	l := Lock{
		Names: r.Names, Bootstrap: r.Bootstrap, Settings: r.Settings, Since: g.Now(),
		Owner: rules.Owner{UIDs: r.UIDs, Mark: r.Mark, Mask: r.Mask},
	}
	for _, e := range ends {
		if !slices.Contains(l.Endpoints, e) {
			l.Endpoints = append(l.Endpoints, e)
		}
	}
	if len(r.Names) > 0 && len(ends) == 0 {
		return l, nil, usage(errors.New("no endpoint could be resolved: the client could never connect"), warnings[0])
	}
	if r.Cgroup != "" {
		var err error
		if l.Owner.Cgroup, err = g.Clients.Cgroup(r.Cgroup); err != nil {
			return l, nil, usage(fmt.Errorf("cgroup %q: %w", r.Cgroup, err), "")
		}
	}
	if len(l.Owner.UIDs) == 0 && l.Owner.Mask == 0 && r.Cgroup == "" {
		l.Owner.UIDs = []uint32{0}
		if len(ends) > 0 {
			warnings = append(warnings, "the owner is root, which many programs are: --owner, --mark or --cgroup can say it more exactly")
		}
	}
	if r.Try > 0 {
		l.Try, l.Until, l.End = r.TryID, g.Now().Add(r.Try), g.Uptime()+r.Try
	}
	return l, warnings, nil
}

// renewed looks the owner's cgroup up again: its id is another after a boot.
// A group that is not there yet leaves its endpoints closed.
func (g *Guard) renewed(l Lock) Lock {
	if l.Owner.Cgroup.Path == "" {
		return l
	}
	group, err := g.Clients.Cgroup("/" + l.Owner.Cgroup.Path)
	if err != nil {
		l.Endpoints = nil
		return l
	}
	l.Owner.Cgroup = group
	return l
}

// Confirm keeps what a trial set.
func (g *Guard) Confirm(ctx context.Context) (res Result, err error) {
	err = g.locked(ctx, func() error {
		rec, _, err := g.load()
		if err != nil {
			return err
		}
		res.State = rec.state()
		if rec.Lock == nil {
			return usage(errors.New("nothing is locked"), "a trial that ended cannot be confirmed; lock again")
		}
		if rec.Lock.Try == "" {
			res.Done = append(res.Done, "the lock is no trial; nothing to confirm")
			return nil
		}
		next := rec.clone()
		lock := *rec.Lock
		lock.Try, lock.Until, lock.End, lock.Before = "", time.Time{}, 0, nil
		next.Lock = &lock
		if err := g.keep(ctx, lock); err != nil {
			return &StateError{err, "the trial goes on and will undo itself"}
		}
		return g.Journal.Save(next)
	})
	return res, err
}

// permanent is the lock that stays when a trial ends.
func (l *Lock) permanent() *Lock {
	if l == nil || l.Try == "" {
		return l
	}
	return l.Before
}

// Unlock takes the lock off. Sessions stay sealed; without one the host is
// given back as it was.
func (g *Guard) Unlock(ctx context.Context) (res Result, err error) {
	err = g.locked(ctx, func() error {
		rec, _, err := g.load()
		if err != nil {
			return err
		}
		res.State = rec.state()
		if err := g.forget(ctx); err != nil {
			return &StateError{err, "the host is as it was: locked"}
		}
		if rec.Lock == nil && !rec.halfOpen() {
			res.Done = append(res.Done, "nothing is locked")
			return nil
		}
		res.Done = append(res.Done, "unlocked")
		return g.relock(&res, rec, nil, stayClosed)
	})
	return res, err
}

// Expire ends a trial that goes on unconfirmed: what was there before it is
// there again. Nobody is there to try again, so that no sysctl keeps it closed.
func (g *Guard) Expire(ctx context.Context, try string) (res Result, err error) {
	err = g.locked(ctx, func() error {
		rec, _, err := g.load()
		if err != nil {
			return err
		}
		res.State = rec.state()
		switch {
		case rec.halfOpen(): // an earlier end of it came to nothing
			return g.relock(&res, rec, nil, openAnyway)
		case rec.Lock == nil || rec.Lock.Try != try || try == "":
			return nil
		}
		res.Done = append(res.Done, "the trial ended")
		return g.relock(&res, rec, rec.Lock.Before, openAnyway)
	})
	return res, err
}

// halfOpen reports whether a change that should open was interrupted.
func (r Record) halfOpen() bool { return r.Phase == Removing && r.idle() }

// relock puts another lock, or none, in the place of the recorded one.
func (g *Guard) relock(res *Result, rec Record, lock *Lock, failing onFailure) (err error) {
	next := rec.clone()
	next.Lock, next.Asker = lock, nil
	if next.idle() {
		res.Warnings, err = g.open(next, failing)
		if err == nil {
			res.State = Open
		}
		return err
	}
	rec, err = g.reapply(next)
	res.State = rec.state()
	if err == nil {
		res.Warnings = append(res.Warnings, g.setLockedNames(rec)...)
	}
	return err
}

// setLockedNames tells the resolvers' owner anew, whose other names a lock keeps
// from other resolvers.
func (g *Guard) setLockedNames(rec Record) []string {
	if len(rec.Sessions) == 0 {
		return nil
	}
	return g.setNames(rec, namesAsked)
}

// kept reads the lock that outlives a boot.
func (g *Guard) kept() (l Lock, found bool, err error) {
	_, err = g.Kept.Load(&l)
	var foreign *state.ForeignBootError
	switch {
	case err == nil, errors.As(err, &foreign):
		return l, true, nil
	case errors.Is(err, state.ErrNone):
		return Lock{}, false, nil
	}
	return Lock{}, false, fmt.Errorf("read the lock kept over boots: %w", err)
}

func (g *Guard) keep(ctx context.Context, l Lock) error {
	return g.withKept(ctx, "keep the lock over boots", func() error { return g.Kept.Save(l) })
}

func (g *Guard) forget(ctx context.Context) error {
	return g.withKept(ctx, "forget the lock kept over boots", g.Kept.Remove)
}

func (g *Guard) withKept(ctx context.Context, what string, f func() error) error {
	wait, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	if err := g.Kept.Lock(wait); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	err := errors.Join(f(), g.Kept.Unlock())
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
