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
		gone, err := rec.choose(sel)
		if err != nil {
			return err
		}
		next := rec.clone()
		next.Sessions = slices.DeleteFunc(next.Sessions, func(s Session) bool { return slices.Contains(gone, s.Dev) })
		for _, dev := range gone {
			res.Done = append(res.Done, fmt.Sprintf("session %q ended", dev))
		}
		if next.idle() {
			res.State = Open
			res.Warnings, err = g.open(rec)
			return err
		}
		rec, err = g.reapply(next)
		res.State = rec.state()
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
	return nil
}

// Restart notes that clients of sessions reconnect. Nothing opens.
func (g *Guard) Restart(ctx context.Context, sel Selection) (res Result, err error) {
	err = g.locked(ctx, func() error {
		rec, found, err := g.load()
		if err != nil || !found {
			res.State = Open
			return err
		}
		devs, err := rec.choose(sel)
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

// choose returns the devices of the selected sessions.
func (r Record) choose(sel Selection) ([]string, error) {
	all := r.tunnels()
	if sel.All {
		return all, nil
	}
	if sel.Dev != "" {
		if _, ok := r.session(sel.Dev); !ok {
			return nil, usage(fmt.Errorf("no session %q is recorded; there are: %q", sel.Dev, all), "")
		}
		return []string{sel.Dev}, nil
	}
	for _, s := range r.Sessions {
		if sel.PID != 0 && s.PID == sel.PID {
			return []string{s.Dev}, nil
		}
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

// open gives the host back: knobs first, rules last, so that every moment
// before the last one is closed.
func (g *Guard) open(rec Record) (warnings []string, err error) {
	rec.Phase = Removing
	if err := g.Journal.Save(rec); err != nil {
		return nil, &StateError{fmt.Errorf("record the change: %w", err), "the host is as it was: closed"}
	}
	fault.Point("down.recorded")
	for _, e := range g.Knobs.Restore(rec.Knobs) {
		var changed *sysctl.ChangedError
		if !errors.As(e, &changed) && !errors.Is(e, os.ErrNotExist) {
			return warnings, &StateError{fmt.Errorf("restore a sysctl: %w", e), "the host is closed; `vpnguard recover` tries again"}
		}
		warnings = append(warnings, e.Error())
	}
	fault.Point("down.restored")
	if err := g.Filter.Remove(); err != nil {
		return warnings, &StateError{err, "the host is closed; `vpnguard recover` tries again"}
	}
	fault.Point("down.opened")
	if err := g.Journal.Remove(); err != nil {
		return warnings, &StateError{fmt.Errorf("remove the record: %w", err), "the host is open"}
	}
	fault.Point("down.done")
	return warnings, nil
}
