package guard

import (
	"context"
	"fmt"

	"github.com/vpnguard/vpnguard/route"
)

// Connected notes that the tunnel of a device works now, or that it does not
// work at the moment: its session is sealed, or connecting. What is enforced
// stays the same but for the steering, which is planned anew: the device may
// have come up, or got its addresses, since it was planned.
func (g *Guard) Connected(ctx context.Context, dev string, works bool) (res Result, err error) {
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
		rec.Sessions[i].Up = works
		links, err := g.Links.List()
		if err != nil {
			return fmt.Errorf("list interfaces: %w", err)
		}
		// A record that is not steady is for whoever completes its change.
		if rec.Phase == Steady {
			rec.Steer, rec.Unsteered = g.steering(rec, links)
			have, err := g.Routing.Have()
			if err != nil || rec.Refused != "" || route.Drift(rec.Steer, have, func(int) bool { return false }) != nil {
				// Ours are known by their mark, not by the record: a crash in
				// between is put right by the next call.
				g.steer(&rec)
			}
		}
		res.Session, res.State, res.Warnings = rec.Sessions[i], rec.state(), rec.left()
		return g.Journal.Save(rec)
	})
	return res, err
}
