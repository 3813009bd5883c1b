package guard

import (
	"context"
	"fmt"
)

// Connected notes that the tunnel of a device works now, or that it does not
// work at the moment: its session is sealed, or connecting. Nothing is enforced
// otherwise by that.
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
		res.Session, res.State = rec.Sessions[i], rec.state()
		return g.Journal.Save(rec)
	})
	return res, err
}
