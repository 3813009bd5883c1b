package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Update changes a recorded session without a device at hand: another server
// address, or the routes that are known now. A session that is not recorded
// is nothing to update.
//
// allowed, if it is not nil, says whether the caller may change a session.
func (g *Guard) Update(ctx context.Context, pid int, ends []endpoint.Endpoint, allowed func(Session) bool) (Result, error) {
	return g.update(ctx, pid, allowed, func(s *Session) (done []string) {
		for _, e := range ends {
			if !slices.Contains(s.Endpoints, e) {
				s.Endpoints = append(s.Endpoints, e)
				done = append(done, fmt.Sprintf("endpoint %s added", e))
			}
		}
		return done
	})
}

// Move is [Guard.Update] with endpoints that take the place of those that the
// session had: whoever names servers again and again must not widen the seal.
func (g *Guard) Move(ctx context.Context, pid int, ends []endpoint.Endpoint, allowed func(Session) bool) (Result, error) {
	if len(ends) == 0 {
		return Result{}, unchanged(errors.New("move a session: no endpoint is named"))
	}
	return g.update(ctx, pid, allowed, func(s *Session) (done []string) {
		for _, e := range ends {
			if !slices.Contains(s.Endpoints, e) {
				done = append(done, fmt.Sprintf("endpoint %s added", e))
			}
		}
		for _, e := range s.Endpoints {
			if !slices.Contains(ends, e) {
				done = append(done, fmt.Sprintf("endpoint %s removed", e))
			}
		}
		s.Endpoints = slices.Clone(ends)
		return done
	})
}

// update lets change say what it did to the endpoints of a client's session, and
// carries that out in one transaction.
func (g *Guard) update(ctx context.Context, pid int, allowed func(Session) bool, change func(*Session) []string) (res Result, err error) {
	err = g.locked(ctx, func() error {
		rec, _, err := g.load()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(rec.Sessions, func(s Session) bool { return s.PID == pid && pid != 0 })
		if i < 0 {
			res.Done = append(res.Done, "no session of this client is sealed yet; nothing to update")
			res.State = rec.state()
			return nil
		}
		if allowed != nil && !allowed(rec.Sessions[i]) {
			return notTheirs(rec.Sessions[i])
		}
		next := rec.clone()
		s := &next.Sessions[i]
		s.Endpoints = slices.Clone(s.Endpoints)
		res.Done = change(s)
		res.Session, res.State = *s, rec.state()
		if len(res.Done) == 0 {
			return nil
		}
		rec, err = g.reapply(next)
		res.State = rec.state()
		return err
	})
	return res, err
}
