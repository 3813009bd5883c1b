package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vpnguard/vpnguard/state"
)

// Recover puts right what a crash left. Sessions whose client provably lives
// are sealed again; all others end, and after the last one the host is given
// back as it was. It needs neither a network nor a daemon nor an environment.
//
// A record that cannot be read is kept aside. Then the rules are removed, and
// the error says that sysctls could not be restored.
func (g *Guard) Recover(ctx context.Context) (res Result, err error) {
	err = g.locked(ctx, func() (err error) {
		defer func() {
			if res.State == Open {
				err = errors.Join(err, g.recoverNames(&res))
			}
		}()
		var rec Record
		_, err = g.Journal.Load(&rec)
		var foreign *state.ForeignBootError
		switch {
		case errors.Is(err, state.ErrNone):
			return g.removeStray(&res)
		case errors.As(err, &foreign):
			res.Done = append(res.Done, "the record is of an earlier boot; it was removed")
			if err := g.Journal.Remove(); err != nil {
				return err
			}
			return g.removeStray(&res)
		case err != nil:
			return g.abandon(&res, err)
		case rec.NetNS != g.NetNS:
			return g.elsewhere(rec)
		}
		return g.settle(&res, rec)
	})
	return res, err
}

// settle decides about each recorded session.
func (g *Guard) settle(res *Result, rec Record) error {
	next := rec.clone()
	next.Asker = nil
	next.Sessions = slices.DeleteFunc(next.Sessions, func(s Session) bool {
		lives := rec.Phase != Removing && s.PID != 0 && g.Clients.Alive(s.PID, s.Start)
		if lives {
			res.Done = append(res.Done, fmt.Sprintf("session %q: its client (pid %d) lives; it stays sealed (vpnguard down --dev %s ends it)", s.ID, s.PID, s.Dev))
		} else {
			res.Done = append(res.Done, fmt.Sprintf("session %q: no client of it lives; it ended", s.ID))
		}
		return !lives
	})
	if next.Lock != nil {
		res.Done = append(res.Done, "the lock stays on (vpnguard unlock takes it off)")
	}
	if !next.idle() {
		rec, err := g.reapply(next)
		res.State = rec.state()
		if err == nil {
			res.Warnings = append(res.Warnings, g.setNames(rec, namesAsked)...)
		}
		return err
	}
	warnings, err := g.open(rec, openAnyway)
	res.Warnings = append(res.Warnings, warnings...)
	if err == nil {
		res.State = Open
		res.Done = append(res.Done, "rules removed, sysctls restored: the host is open")
	}
	return err
}

// removeStray removes tables that no record speaks of.
func (g *Guard) removeStray(res *Result) error {
	have, err := g.Filter.List()
	if err != nil {
		return err
	}
	res.State = Open
	if err := g.NAT.Unmasquerade(); err != nil {
		return err
	}
	routing, err := g.Routing.Have()
	if err != nil {
		return err
	}
	if !routing.Empty() {
		if err := g.Routing.Remove(); err != nil {
			return err
		}
		res.Done = append(res.Done, "routing rules and routes without a record removed")
	}
	if len(have.Tables) == 0 {
		if routing.Empty() {
			res.Done = append(res.Done, "nothing to recover: no rules are in force")
		}
		return nil
	}
	if err := g.Filter.Remove(); err != nil {
		return err
	}
	res.Done = append(res.Done, fmt.Sprintf("%d tables without a record removed: the host is open", len(have.Tables)))
	return nil
}

func (g *Guard) abandon(res *Result, cause error) error {
	kept, err := g.Journal.Quarantine()
	if err != nil {
		return fmt.Errorf("%w; it could not be moved aside: %w", cause, err)
	}
	if err := g.removeStray(res); err != nil {
		return err
	}
	return &StateError{fmt.Errorf("%w; it is kept as %q", cause, kept),
		"the host is open, but sysctls are not restored: their old values were in that record; a reboot resets them"}
}
