package guard

import (
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/dns"
)

// namesDrift says what of the resolvers is not as it should be.
func (g *Guard) namesDrift(rec Record, n naming, found bool) []string {
	w, _ := rec.wish()
	switch {
	case w.Empty() && found:
		return []string{"resolvers of a session that is no more are still set; `vpnguard recover` gives the host its own back"}
	case w.Empty():
		return nil
	case !found:
		return []string{"the session's resolvers are not set: names are blocked"}
	case n.Phase != Steady:
		return []string{"a change of resolvers was interrupted; `vpnguard recover` settles it"}
	case n.Problem != "":
		return []string{"the session's resolvers are not set: " + n.Problem}
	case !slices.EqualFunc(w.Links, n.Saved.Links, sameLink):
		return []string{"other resolvers are set than the sessions have"}
	}
	drift := g.Names.Verify(n.Saved)
	if n.GaveUp && len(drift) > 0 {
		drift[0] = gaveUp(drift[0])
	}
	return drift
}

func sameLink(a, b dns.Link) bool {
	return a.Dev == b.Dev && a.All == b.All && slices.Equal(a.Servers, b.Servers) && slices.Equal(a.Search, b.Search) && slices.Equal(a.Route, b.Route)
}

// NamesStatus is what is set of resolvers.
type NamesStatus struct {
	Owner   dns.Owner    // who was told; empty: nobody
	Servers []netip.Addr // of all sessions
	Left    Naming       // why nobody was told: [NamingOff], [NamingClient]; else empty
}

// statusNamed is status with the resolvers.
func (g *Guard) statusNamed() (Status, error) {
	st, err := g.status()
	if err != nil || g.Names == nil {
		return st, err
	}
	n, found, err := g.loadNames()
	if err != nil {
		st.Drift, st.Enforced = append(st.Drift, err.Error()), false
		return st, nil
	}
	for _, l := range n.Saved.Links {
		st.Names.Servers = append(st.Names.Servers, l.Servers...)
	}
	st.Names.Owner = n.Saved.Owner
	for _, s := range st.Record.Sessions {
		if len(s.DNS) > 0 && (s.Naming == NamingOff || s.Naming == NamingClient) {
			st.Names.Left = s.Naming
		}
	}
	if drift := g.namesDrift(st.Record, n, found); len(drift) > 0 {
		st.Drift, st.Enforced = append(st.Drift, drift...), false
	}
	return st, nil
}
