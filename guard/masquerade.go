package guard

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/sysctl"
)

// masquerade is that of the session that has one; nil: none has. The table is one,
// so that the first counts; a second is refused before it is recorded.
func (r Record) masquerade() *rules.Masquerade {
	for _, s := range r.Sessions {
		if s.Masquerade != nil {
			return s.Masquerade
		}
	}
	return nil
}

// checkMasquerade refuses what cannot be put in.
func (r Record) checkMasquerade(s Session) error {
	if s.Masquerade == nil {
		return nil
	}
	for _, o := range r.Sessions {
		if o.Dev != s.Dev && o.Masquerade != nil {
			return usage(fmt.Errorf("session %q masquerades already: there is one table for that", o.ID), "end it first: vpnguard down --dev "+o.Dev)
		}
	}
	if err := s.Masquerade.Validate(); err != nil {
		return usage(err, "")
	}
	return nil
}

// translate makes the table what the sessions want, under rules that are in force
// and with a record that says so already.
func (g *Guard) translate(rec *Record) error {
	if m := rec.masquerade(); m != nil {
		return g.NAT.Masquerade(*m)
	}
	if !rec.Translates {
		return nil
	}
	// Forwarding loosens: it must not stay as long as another session does.
	forwards := func(c sysctl.Change) bool { return c.Knob.Forwards() }
	var failed []error
	for _, c := range slices.DeleteFunc(slices.Clone(rec.Knobs), func(c sysctl.Change) bool { return !forwards(c) }) {
		for _, e := range g.Knobs.Restore([]sysctl.Change{c}) {
			var changed *sysctl.ChangedError
			if !errors.As(e, &changed) && !errors.Is(e, os.ErrNotExist) {
				failed = append(failed, fmt.Errorf("restore a sysctl: %w", e))
			}
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	rec.Knobs = slices.DeleteFunc(slices.Clone(rec.Knobs), forwards)
	err := g.NAT.Unmasquerade()
	rec.Translates = err != nil
	return err
}
