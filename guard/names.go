package guard

import (
	"errors"
	"fmt"
	"time"

	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/state"
)

// Names are the host's resolver configuration; package dns has it.
type Names interface {
	Detect(want dns.Owner) (dns.Owner, error)
	Prepare(owner dns.Owner, old *dns.Saved, w dns.Wish) (dns.Saved, error)
	Apply(dns.Saved) (dns.Saved, error)
	Verify(dns.Saved) []string
	Restore(dns.Saved) (warnings []string, err error)
}

// Naming says who sets a session's resolvers: nobody, the client, or we by one
// of [dns.Owner]. The zero value finds out who owns the configuration.
type Naming string

// The ways that are no owner.
const (
	NamingAuto   Naming = ""
	NamingOff    Naming = "off"    // names are left alone, and are blocked all the same
	NamingClient Naming = "client" // the client sets its own; two would fight
)

// naming is the record of names, apart from the other one: a file that was
// changed outlives the boot, rules do not. It is written before the first
// change and removed after the last.
type naming struct {
	Phase   Phase     `json:"phase"`
	NetNS   uint64    `json:"netns"`
	Saved   dns.Saved `json:"saved"`
	Problem string    `json:"problem"` // why they are not as they should be
	// Again are the times of the last repairs; GaveUp ends them until the next `up`.
	Again  []time.Time `json:"again"`
	GaveUp bool        `json:"gave_up"`

	earlier bool // it is of an earlier boot
}

// Somebody who writes the file each time that we do is not fought for ever.
const (
	maxAgain    = 5
	againWindow = 10 * time.Minute
)

// wish is what the sessions want: the full ones first, of these the newest.
func (r Record) wish() (w dns.Wish, want dns.Owner) {
	for _, profile := range []rules.Profile{rules.Full, rules.Split} {
		for _, s := range r.preferred() { // the tunnel that other traffic uses comes first
			if s.Profile != profile || len(s.DNS) == 0 || s.Naming == NamingOff || s.Naming == NamingClient {
				continue
			}
			// One session is for every name that no other claims. A split one is
			// as well, if there is no full one and names cannot be told apart: the
			// LAN's resolver is refused then.
			w.Links = append(w.Links, dns.Link{Dev: s.Dev, Servers: s.DNS, Search: s.Domains, Route: s.RouteDomains, All: len(w.Links) == 0 && !r.Apart})
			w.Last = append(w.Last, s.Bootstrap...)
			if want == "" {
				want = dns.Owner(s.Naming)
			}
		}
	}
	if r.Lock != nil && !w.Empty() {
		w.Last = append(w.Last, r.Lock.Bootstrap...)
	}
	return w, want
}

// wouldName says what a change to this record would set.
func (g *Guard) wouldName(rec Record) (list []string) {
	w, want := rec.wish()
	if g.Names == nil || w.Empty() {
		return nil
	}
	owner, err := g.Names.Detect(want)
	if err != nil {
		return []string{fmt.Sprintf("stay as they are: %v", err)}
	}
	for _, l := range w.Links {
		list = append(list, fmt.Sprintf("%v of %s in %s", l.Servers, l.Dev, owner))
	}
	return list
}

// loadNames reads the record of names.
func (g *Guard) loadNames() (n naming, found bool, err error) {
	_, err = g.NamesJournal.Load(&n)
	var foreign *state.ForeignBootError
	switch {
	case errors.Is(err, state.ErrNone):
		return naming{}, false, nil
	case errors.As(err, &foreign):
		n.earlier = true
	case err != nil:
		return naming{}, false, fmt.Errorf("read the record of resolvers: %w", err)
	case n.NetNS != g.NetNS:
		return naming{}, false, fmt.Errorf("the resolvers of this host were set for network namespace %d, and this is %d; they are left alone", n.NetNS, g.NetNS)
	}
	if n.earlier && (n.Saved.Owner == dns.Resolved || n.Saved.Owner == dns.Resolvconf) {
		n.Saved = dns.Saved{} // kept in memory only
	}
	return n, true, nil
}
