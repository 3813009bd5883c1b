package guard

import (
	"context"
	"fmt"

	"github.com/vpnguard/vpnguard/rules"
)

// Split sessions with domains can leave all other names to the host's own
// resolvers, where somebody tells names apart: systemd-resolved. He alone may ask
// them then. He forgets a link's domains together with the link, so that it takes
// a guardian, who takes the permission back at once.

// apart reports whether names can be told apart: all sessions are split, each one
// with resolvers has domains, leaves them to us and has its device, and somebody
// stays to look after that.
func (g *Guard) apart(rec Record) bool {
	if !g.Watching || rec.Lock != nil {
		return false
	}
	links, err := g.Links.List()
	if err != nil {
		return false
	}
	named := false
	for _, s := range rec.Sessions {
		if s.Profile != rules.Split {
			return false
		}
		if len(s.DNS) == 0 {
			continue
		}
		_, there := byName(links, s.Dev)
		if !there || len(s.Domains)+len(s.RouteDomains) == 0 || s.Naming == NamingOff || s.Naming == NamingClient {
			return false
		}
		named = true
	}
	return named
}

// tellApart decides anew, before names are set. Nobody may ask others than the
// sessions' resolvers until they are.
func (g *Guard) tellApart(rec Record) (Record, error) {
	apart := g.apart(rec)
	if rec.Apart == apart && rec.Asker == nil {
		return rec, nil
	}
	rec = rec.clone()
	closing := rec.Asker != nil
	rec.Apart, rec.Asker = apart, nil
	if closing {
		return g.reapply(rec)
	}
	if err := g.Journal.Save(rec); err != nil {
		return rec, fmt.Errorf("record whose names are told apart: %w", err)
	}
	return rec, nil
}

// letAsk opens the way to other resolvers for whom was told which names are the
// sessions', once that is so.
func (g *Guard) letAsk(rec Record) error {
	n, _, err := g.loadNames()
	if err != nil || n.Saved.Asker == nil || !rec.Apart {
		return err
	}
	rec = rec.clone()
	rec.Asker = n.Saved.Asker
	_, err = g.reapply(rec)
	return err
}

// apartDrift says why the decision is to be made anew.
func (g *Guard) apartDrift(rec Record, n naming) []string {
	switch apart := g.apart(rec); {
	case rec.Apart && !apart:
		return []string{"names cannot be told apart any more"}
	case !rec.Apart && apart:
		return []string{"names can be told apart now"}
	case rec.Apart && rec.Asker == nil && n.Saved.Asker != nil:
		return []string{"names that are not the sessions' cannot be asked elsewhere"}
	}
	return nil
}

// Leave is the end of who was [Guard.Watching]: nobody is there any more to see
// that names can no longer be told apart.
func (g *Guard) Leave(ctx context.Context) error {
	g.Watching = false
	return g.locked(ctx, func() error {
		rec, found, err := g.load()
		if err != nil || !found || !rec.Apart {
			return err
		}
		g.setNames(rec, namesAsked)
		return nil
	})
}
