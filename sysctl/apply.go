package sysctl

import (
	"errors"
	"fmt"
	"os"
)

// Drift is a knob that has not the value it should have.
type Drift struct {
	Change
	Have int
	Err  error // why it could not be read; Have means nothing then
}

func (d *Drift) Error() string {
	if d.Err != nil {
		return fmt.Sprintf("sysctl %q should be %d: %v", d.Knob, d.New, d.Err)
	}
	return fmt.Sprintf("sysctl %q is %d, should be %d", d.Knob, d.Have, d.New)
}

func (d *Drift) Unwrap() error { return d.Err }

// ChangedError says that somebody else changed a knob after us; it keeps their
// value.
type ChangedError struct {
	Change
	Have int
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("sysctl %q is %d, neither our %d nor the former %d: left as it is", e.Knob, e.Have, e.New, e.Old)
}

// Apply writes the changes in order and reads each back. Record the changes
// before: a kill in the midst leaves some of them made, and [FS.Restore] copes
// with any part.
//
// done are those made, and those of which it is not known; skipped those that
// were refused as read-only, or whose interface is gone meanwhile. At any other
// error it stops; a value that did not take is a [Drift]. What was done stays.
func (fs FS) Apply(changes []Change) (done []Change, skipped []Skipped, err error) {
	for _, c := range changes {
		switch err := fs.Write(c.Knob, c.New); {
		case err == nil:
		case refused(err), errors.Is(err, os.ErrNotExist):
			skipped = append(skipped, Skipped{c, err})
			continue
		default:
			return done, skipped, err
		}
		done = append(done, c)
		if drift := fs.compare(c); drift != nil {
			return done, skipped, drift
		}
	}
	return done, skipped, nil
}

// Verify returns the knobs that have another value than New. One whose interface
// is gone is none of them.
func (fs FS) Verify(changes []Change) []Drift {
	var drifts []Drift
	for _, c := range changes {
		if d := fs.compare(c); d != nil {
			drifts = append(drifts, *d)
		}
	}
	return drifts
}

func (fs FS) compare(c Change) *Drift {
	have, err := fs.Read(c.Knob)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return &Drift{Change: c, Err: err}
	case have != c.New:
		return &Drift{Change: c, Have: have}
	}
	return nil
}

// Restore puts the old values back, last change first, and does all that can be
// done whatever fails. A knob that has its old value, or whose interface is
// gone, is fine; one that somebody else changed is left alone and reported as a
// [ChangedError].
//
// One thing cannot be given back: having been written, an interface's IPv4 key
// no longer follows a later write to net/ipv4/conf/default. An interface that
// was ever given an address does not follow it anyway.
func (fs FS) Restore(changes []Change) []error {
	var errs []error
	for i := len(changes) - 1; i >= 0; i-- {
		if err := fs.restore(changes[i]); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (fs FS) restore(c Change) error {
	// The journal may be older, or another program's.
	if err := c.Knob.check(c.New); err != nil {
		return err
	}
	o, err := fs.open(c.Knob)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer o.close()
	have, err := o.read()
	switch {
	case err != nil:
		return err
	case have == c.Old:
		return nil
	case have != c.New:
		return &ChangedError{Change: c, Have: have}
	}
	if err := o.write(c.Old); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	back := Change{Knob: c.Knob, Old: c.New, New: c.Old}
	switch have, err = o.read(); {
	case err != nil:
		return &Drift{Change: back, Err: err}
	case have != c.Old:
		return &Drift{Change: back, Have: have}
	}
	return nil
}

// Merge returns what to record after a second plan: a knob recorded before keeps
// its first Old, for that is what the host had, and takes the newer New.
func Merge(recorded, again []Change) []Change {
	merged := append([]Change(nil), recorded...)
	at := make(map[Knob]int, len(merged))
	for i, c := range merged {
		at[c.Knob] = i
	}
	for _, c := range again {
		if i, ok := at[c.Knob]; ok {
			merged[i].New = c.New
			continue
		}
		at[c.Knob] = len(merged)
		merged = append(merged, c)
	}
	return merged
}
