package guard

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/fault"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/sysctl"
)

// An interface may be renamed or go between the plan and its fence, at boot above
// all; then a new plan is made, so many times and after so long.
const (
	planTries = 10
	planPause = 20 * time.Millisecond
)

// again plans and applies until no interface vanished in between.
func (g *Guard) again(do func() error) (err error) {
	for range planTries {
		err = do()
		vanished := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
		if !vanished || errors.As(err, new(*UsageError)) || errors.As(err, new(*nft.UnsupportedError)) {
			return err
		}
		time.Sleep(planPause)
	}
	return err
}

// apply carries a plan out. It records first, closes second, and only then
// turns the knobs, each of which makes the host stricter.
func (g *Guard) apply(p Plan) (Record, error) {
	before, found, err := g.load()
	if err != nil {
		return Record{}, err
	}
	rec := p.Record
	rec.NetNS = g.NetNS
	rec.Translates = rec.Translates || rec.masquerade() != nil // before it is put in
	rec.Phase, rec.Problem, rec.Fingerprints = Applying, "", nil
	if rec.Since.IsZero() {
		rec.Since = g.Now()
	}
	if err := g.Journal.Save(rec); err != nil {
		return before, unchanged(fmt.Errorf("record the change: %w", err))
	}
	fault.Point("up.recorded")
	listing, err := g.replace(&rec, p.Ruleset)
	if err != nil {
		return before, g.undo(before, found, err)
	}
	fault.Point("up.closed")
	rec.Fingerprints = listing.Fingerprints()
	return g.harden(rec, p.Changes)
}

// harden turns knobs that are recorded, under rules that are in force, and
// records the end.
func (g *Guard) harden(rec Record, changes []sysctl.Change) (Record, error) {
	errNAT := g.translate(&rec)
	_, skipped, err := g.Knobs.Apply(changes)
	for _, s := range skipped {
		rec.Skipped = append(rec.Skipped, fmt.Sprintf("%s stays %d: %v", s.Knob, s.Old, s.Err))
	}
	// What was never turned must not be missed, nor be turned back.
	rec.Knobs = rec.knobsSet(skipped)
	if err == nil {
		if drift := g.Knobs.Verify(rec.Knobs); len(drift) > 0 {
			err = &drift[0]
		}
	}
	err = errors.Join(err, errNAT)
	fault.Point("up.hardened")
	g.steer(&rec)
	rec.Phase, rec.Problem = Steady, ""
	if err != nil {
		rec.Problem = err.Error()
	}
	if e := g.Journal.Save(rec); e != nil {
		return rec, &StateError{fmt.Errorf("record what was done: %w", e), "the host is closed"}
	}
	fault.Point("up.done")
	if err != nil {
		return rec, &StateError{err, "the host is closed; `vpnguard recover` opens it"}
	}
	return rec, nil
}

// undo puts the record back after rules were refused: the kernel has what it
// had, surely so if it lets this process change nothing. If that is not sure,
// the record keeps saying that a change is under way.
func (g *Guard) undo(before Record, found bool, cause error) error {
	have, err := g.Filter.List()
	if err != nil && !errors.Is(cause, os.ErrPermission) {
		return &StateError{fmt.Errorf("%w; and the rules in force cannot be read: %w", cause, err),
			"the host has the old rules or the new ones; `vpnguard recover` settles that"}
	}
	if err == nil && !maps.Equal(have.Fingerprints(), before.Fingerprints) {
		return &StateError{cause, "the rules in force are neither the old nor the new ones; `vpnguard recover` puts that right"}
	}
	var saved error
	if found {
		saved = g.Journal.Save(before)
	} else {
		saved = g.Journal.Remove()
	}
	if saved != nil {
		return &StateError{fmt.Errorf("%w; and the record could not be put back: %w", cause, saved), "nothing was enforced anew"}
	}
	if found && before.Phase == Steady && !before.idle() {
		return &StateError{cause, "the host is closed as it was before"}
	}
	return &StateError{cause, "the host is as it was before: open"}
}
