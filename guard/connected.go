package guard

import (
	"context"
	"fmt"

	"github.com/vpnguard/vpnguard/route"
)

// Connected notes that the tunnel of a device works now, or that it does not
// work at the moment: its session is sealed, or connecting. What is enforced
// stays the same.
func (g *Guard) Connected(ctx context.Context, dev string, works bool) (Result, error) {
	return g.amend(ctx, dev, func(rec *Record, s *Session) error {
		s.Up = works
		return nil
	})
}

// Resteer plans the steering anew for the devices as they are now, and carries it
// out: one that came up, or got its addresses, could not be led into before. The
// rules stay.
func (g *Guard) Resteer(ctx context.Context, dev string) (Result, error) {
	return g.amend(ctx, dev, func(rec *Record, _ *Session) error {
		if rec.Phase != Steady {
			return nil // whoever completes that change steers as well
		}
		links, err := g.Links.List()
		if err != nil {
			return fmt.Errorf("list interfaces: %w", err)
		}
		rec.Steer, rec.Unsteered = g.steering(*rec, links)
		have, err := g.Routing.Have()
		if err != nil || rec.Refused != "" || route.Drift(rec.Steer, have, func(int) bool { return false }) != nil {
			// What is ours is known by its mark and not by the record, so that a
			// crash in between is put right by the next call.
			g.steer(rec)
		}
		return nil
	})
}

// amend changes what is recorded of a session and enforces no other rules.
func (g *Guard) amend(ctx context.Context, dev string, change func(*Record, *Session) error) (res Result, err error) {
	err = g.locked(ctx, func() error {
		rec, _, err := g.load()
		if err != nil {
			return err
		}
		i, ok := rec.session(dev)
		if !ok {
			return usage(fmt.Errorf("no session %q is recorded; there are: %q", dev, rec.tunnels()), "somebody ended it: `vpnguard status` says what is enforced")
		}
		rec = rec.clone()
		if err := change(&rec, &rec.Sessions[i]); err != nil {
			return err
		}
		res.Session, res.State, res.Warnings = rec.Sessions[i], rec.state(), rec.left()
		return g.Journal.Save(rec)
	})
	return res, err
}
