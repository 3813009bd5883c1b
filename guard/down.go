package guard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/vpnguard/vpnguard/internal/fault"
	"github.com/vpnguard/vpnguard/sysctl"
)

// Selection names sessions. The zero value names the only one there is.
type Selection struct {
	Dev string
	PID int  // of the client that calls
	All bool // wins over Dev and PID
	// Allowed, if it is not nil, says whether the caller may end a session.
	Allowed func(Session) bool `json:"-"`
}

// notTheirs refuses a caller.
func notTheirs(s Session) error {
	return unchanged(fmt.Errorf("session %q: neither root nor its owner nor its client (pid %d) asks: %w", s.ID, s.PID, os.ErrPermission))
}

// Stop ends sessions because the user stopped them. After the last one the
// host is given back as it was.
//
// An error that is a [StateError] leaves the host closed.
func (g *Guard) Stop(ctx context.Context, sel Selection) (res Result, err error) {
	fault.Point("down.start")
	err = g.locked(ctx, func() error {
		rec, found, err := g.load()
		if err != nil {
			return err
		}
		if !found {
			return g.nothingToStop(&res)
		}
		gone, err := g.choose(rec, sel)
		if err != nil {
			return err
		}
		next := rec.clone()
		next.Sessions = slices.DeleteFunc(next.Sessions, func(s Session) bool { return slices.Contains(gone, s.Dev) })
		next.Asker = nil
		if next.idle() {
			failing := stayClosed
			if rec.idle() { // nothing is enforced, only sysctls are left over
				failing = openAnyway
			}
			res.State = Open
			res.Warnings, err = g.open(rec, failing)
		} else {
			rec, err = g.reapply(next)
			res.State = rec.state()
			if err == nil {
				res.Warnings = append(res.Warnings, g.setNames(rec, namesAsked)...)
			}
		}
		for _, dev := range gone {
			if err == nil {
				res.Done = append(res.Done, fmt.Sprintf("session %q ended", dev))
			}
		}
		return err
	})
	return res, err
}

// nothingToStop looks before it says that the host is open: a record may have
// been removed under rules that stay.
func (g *Guard) nothingToStop(res *Result) error {
	have, err := g.Filter.List()
	if err != nil {
		return unchanged(err)
	}
	if len(have.Tables) > 0 {
		return &StateError{errors.New("no session is recorded, but our rules are in force"), "the host is closed; `vpnguard recover` opens it"}
	}
	res.State, res.Done = Open, []string{"no session is recorded; nothing to do"}
	res.Warnings, err = g.restoreNames() // a boot may have come between
	return err
}

// Restart notes that clients of sessions reconnect. Nothing opens.
func (g *Guard) Restart(ctx context.Context, sel Selection) (res Result, err error) {
	err = g.locked(ctx, func() error {
		rec, found, err := g.load()
		if err != nil || !found {
			res.State = Open
			return err
		}
		devs, err := g.choose(rec, sel)
		if err != nil {
			return err
		}
		for i := range rec.Sessions {
			if slices.Contains(devs, rec.Sessions[i].Dev) {
				rec.Sessions[i].Up = false
			}
		}
		res.State = rec.state()
		return g.Journal.Save(rec)
	})
	return res, err
}

// choose returns the devices of the selected sessions. A client may end its
// own session only, or one whose client is dead: the device's name may belong
// to another client by the time that its `down` runs.
func (g *Guard) choose(r Record, sel Selection) ([]string, error) {
	devs, err := g.chosen(r, sel)
	if err == nil && sel.Allowed != nil && len(devs) == 0 {
		return nil, unchanged(fmt.Errorf("no session is recorded, and what else there is only root may change: %w", os.ErrPermission))
	}
	for _, s := range r.Sessions {
		if sel.Allowed != nil && slices.Contains(devs, s.Dev) && !sel.Allowed(s) {
			return nil, notTheirs(s)
		}
	}
	return devs, err
}

func (g *Guard) chosen(r Record, sel Selection) ([]string, error) {
	all := r.tunnels()
	if sel.All {
		return all, nil
	}
	if sel.PID != 0 {
		for _, s := range r.Sessions {
			if s.PID == sel.PID || s.Dev == sel.Dev && (s.PID == 0 || !g.Clients.Alive(s.PID, s.Start)) {
				return []string{s.Dev}, nil
			}
		}
		return nil, usage(fmt.Errorf("no session of process %d is recorded; there are: %q", sel.PID, all), "")
	}
	if sel.Dev != "" {
		if _, ok := r.session(sel.Dev); !ok {
			return nil, usage(fmt.Errorf("no session %q is recorded; there are: %q", sel.Dev, all), "")
		}
		return []string{sel.Dev}, nil
	}
	if len(all) > 1 {
		return nil, usage(fmt.Errorf("%d sessions are recorded: %q", len(all), all), "name one with --dev, or --all")
	}
	return all, nil
}

// reapply plans and applies a record with the links as they are now.
func (g *Guard) reapply(rec Record) (Record, error) {
	links, err := g.Links.List()
	if err != nil {
		return rec, fmt.Errorf("list interfaces: %w", err)
	}
	plan, err := g.plan(rec, links)
	if err != nil {
		return rec, err
	}
	return g.apply(plan)
}

// onFailure says what a sysctl that cannot be restored means.
type onFailure uint8

const (
	stayClosed onFailure = iota // somebody can try again
	openAnyway                  // the last resort: nobody may be locked out by a knob
)

// open gives the host back: knobs first, rules last, so that every moment
// before the last one is closed. Sysctls that could not be restored stay
// recorded, so that the next call can try again.
func (g *Guard) open(rec Record, failing onFailure) (warnings []string, err error) {
	rec.Phase = Removing
	if err := g.Journal.Save(rec); err != nil {
		return nil, &StateError{fmt.Errorf("record the change: %w", err), "the host is as it was: closed"}
	}
	fault.Point("down.recorded")
	var lost []error
	if err := g.Routing.Remove(); err != nil {
		if failing == stayClosed {
			return nil, &StateError{err, "the host is closed; `vpnguard recover` opens it whatever its routing does"}
		}
		lost = append(lost, err)
	}
	fault.Point("down.unsteered")
	var left []sysctl.Change
	for _, c := range slices.Backward(rec.Knobs) {
		for _, e := range g.Knobs.Restore([]sysctl.Change{c}) {
			var changed *sysctl.ChangedError
			if errors.As(e, &changed) || errors.Is(e, os.ErrNotExist) {
				warnings = append(warnings, e.Error())
				continue
			}
			e = fmt.Errorf("restore a sysctl: %w", e)
			if failing == stayClosed {
				return warnings, &StateError{e, "the host is closed; `vpnguard recover` opens it whatever its sysctls do"}
			}
			lost, left = append(lost, e), append(left, c)
		}
	}
	fault.Point("down.restored")
	if rec.Translates {
		if err := g.NAT.Unmasquerade(); err != nil {
			if failing == stayClosed {
				return warnings, &StateError{err, "the host is closed; `vpnguard recover` opens it all the same"}
			}
			lost = append(lost, err)
		}
	}
	fault.Point("down.untranslated")
	named, errNames := g.restoreNames()
	warnings = append(warnings, named...)
	if err := g.Filter.Remove(); err != nil {
		return warnings, &StateError{err, "the host is closed; `vpnguard recover` tries again"}
	}
	fault.Point("down.opened")
	if len(lost) > 0 {
		slices.Reverse(left)
		if err := g.Journal.Save(Record{Phase: Steady, NetNS: g.NetNS, Knobs: left, Translates: rec.Translates, Since: g.Now()}); err != nil {
			lost = append(lost, fmt.Errorf("record what is left: %w", err))
		}
		return warnings, &StateError{errors.Join(append(lost, errNames)...), "the host is open, but these are not as they were; `vpnguard recover` tries again"}
	}
	if err := g.Journal.Remove(); err != nil {
		return warnings, &StateError{fmt.Errorf("remove the record: %w", err), "the host is open"}
	}
	fault.Point("down.done")
	if errNames != nil {
		return warnings, &StateError{errNames, "the host is open, but its resolvers are not as they were; `vpnguard recover` tries again"}
	}
	return warnings, nil
}
