package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/internal/fault"
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
		for _, s := range slices.Backward(r.Sessions) {
			if s.Profile != profile || len(s.DNS) == 0 || s.Naming == NamingOff || s.Naming == NamingClient {
				continue
			}
			// One session is for every name that no other claims. A split one is
			// as well, if there is no full one: the LAN's resolver is refused.
			w.Links = append(w.Links, dns.Link{Dev: s.Dev, Servers: s.DNS, Search: s.Domains, Route: s.RouteDomains, All: len(w.Links) == 0})
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

// setNames gives the sessions of the record their resolvers, or gives the host
// its own back if none has any. It is called under rules that are in force: a
// failure leaves names that do not resolve, which is said, and nothing open.
func (g *Guard) setNames(rec Record, why whyNames) (warnings []string) {
	if g.Names == nil {
		return nil
	}
	w, want := rec.wish()
	if w.Empty() {
		warnings, err := g.restoreNames()
		return append(warnings, said(err)...)
	}
	err := g.withNames(func() (err error) {
		if warnings, err = g.changeNames(w, want, why); err != nil {
			err = errors.Join(err, g.noteProblem(err))
		}
		return err
	})
	if err != nil {
		warnings = append(warnings, fmt.Sprintf("the session's resolvers are not set: %v; names are blocked, and those of the host are left as they are", err))
	}
	return warnings
}

// whyNames says whether a change is wanted or repairs what somebody else changed.
type whyNames uint8

const (
	namesRepaired whyNames = iota
	namesAsked
)

func said(err error) []string {
	if err == nil {
		return nil
	}
	return []string{err.Error()}
}

// withNames holds the record of names.
func (g *Guard) withNames(f func() error) error {
	wait, cancel := context.WithTimeout(context.Background(), lockTimeout)
	defer cancel()
	if err := g.NamesJournal.Lock(wait); err != nil {
		return fmt.Errorf("record resolvers: %w", err)
	}
	return errors.Join(f(), g.NamesJournal.Unlock())
}

// changeNames records, sets and looks whether it is so.
func (g *Guard) changeNames(w dns.Wish, want dns.Owner, why whyNames) (warnings []string, err error) {
	old, found, err := g.loadNames()
	if err != nil {
		return nil, err
	}
	// What we set hides from whom we took it; a repair keeps to it as well.
	owner := old.Saved.Owner
	if !found || owner == "" || why == namesAsked && g.ownerMoved(old.Saved, want) {
		if owner, err = g.Names.Detect(want); err != nil {
			return nil, err
		}
	}
	if found && old.Saved.Owner != "" && old.Saved.Owner != owner {
		if warnings, err = g.Names.Restore(old.Saved); err != nil {
			return warnings, fmt.Errorf("give the resolvers back that were set by %s: %w", old.Saved.Owner, err)
		}
		old.Saved = dns.Saved{}
	}
	var before *dns.Saved
	if old.Saved.Owner != "" {
		before = &old.Saved
	}
	next := naming{Phase: Applying, NetNS: g.NetNS}
	if why == namesRepaired {
		next.Again, next.GaveUp = old.Again, old.GaveUp
	}
	if next.Saved, err = g.Names.Prepare(owner, before, w); err != nil {
		return warnings, err
	}
	if err := g.NamesJournal.Save(next); err != nil {
		return warnings, fmt.Errorf("record the change: %w", err)
	}
	fault.Point("names.recorded")
	applied, err := g.Names.Apply(next.Saved)
	if err == nil {
		if drift := g.Names.Verify(applied); len(drift) > 0 {
			err = errors.New(drift[0])
		}
	}
	fault.Point("names.set")
	if err != nil && before == nil { // nothing of ours may stay half done
		if _, undone := g.Names.Restore(next.Saved); undone == nil {
			applied = dns.Saved{}
		}
	}
	next.Phase, next.Saved = Steady, applied
	return warnings, errors.Join(err, g.NamesJournal.Save(next))
}

// noteProblem keeps for `status` why names are not set.
func (g *Guard) noteProblem(problem error) error {
	n, found, err := g.loadNames()
	if err != nil {
		return nil // that was the problem
	}
	if !found {
		n = naming{Phase: Steady, NetNS: g.NetNS}
	}
	n.Problem = problem.Error()
	return g.NamesJournal.Save(n)
}

// ownerMoved reports whether what we set is gone and somebody else may own the
// configuration now, or another owner is asked for.
func (g *Guard) ownerMoved(old dns.Saved, want dns.Owner) bool {
	return want != "" && want != old.Owner || len(g.Names.Verify(old)) > 0
}

// restoreNames gives the host its own resolvers back. What cannot be given back
// stays recorded.
func (g *Guard) restoreNames() (warnings []string, err error) {
	if g.Names == nil {
		return nil, nil
	}
	n, found, err := g.loadNames()
	if err != nil || !found {
		return nil, err
	}
	err = g.withNames(func() error {
		if n.Saved.Owner != "" {
			n.Phase = Removing
			if err := g.NamesJournal.Save(n); err != nil {
				return fmt.Errorf("record the change of resolvers: %w", err)
			}
			fault.Point("names.restoring")
			if warnings, err = g.Names.Restore(n.Saved); err != nil {
				return fmt.Errorf("give the host's resolvers back: %w", err)
			}
			fault.Point("names.restored")
		}
		return g.NamesJournal.Remove()
	})
	return warnings, err
}

// healNames sets resolvers again that somebody else changed, and gives back
// those of sessions that are no more.
func (g *Guard) healNames(h *Healed) {
	if g.Names == nil {
		return
	}
	rec, found, err := g.load()
	if err != nil || found && rec.Phase != Steady {
		return
	}
	n, named, err := g.loadNames()
	if err != nil {
		h.Names = err.Error()
		return
	}
	w, _ := rec.wish()
	if w.Empty() {
		if named {
			warnings, err := g.restoreNames()
			h.Drift, h.Done = append(h.Drift, "resolvers of a session that is no more"), err == nil
			h.Names = firstOf(append(warnings, said(err)...))
		}
		return
	}
	drift := g.namesDrift(rec, n, named)
	if len(drift) == 0 {
		return
	}
	h.Names = drift[0]
	if n.GaveUp {
		h.Names = gaveUp(drift[0])
		return
	}
	if n.Again = append(recent(n.Again, g.Now()), g.Now()); len(n.Again) > maxAgain {
		n.GaveUp = true
	}
	if named {
		if err := g.withNames(func() error { return g.NamesJournal.Save(n) }); err != nil {
			h.Names = err.Error()
			return
		}
	}
	if n.GaveUp {
		h.Names = gaveUp(drift[0])
		return
	}
	if warnings := g.setNames(rec, namesRepaired); len(warnings) > 0 {
		h.Names = warnings[0]
		return
	}
	h.Names, h.Drift, h.Done = "", append(h.Drift, drift...), true
}

func gaveUp(drift string) string {
	return fmt.Sprintf("%s; they were set again %d times within %s and are left to whoever changes them until the next `vpnguard up`", drift, maxAgain, againWindow)
}

func recent(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return now.Sub(t) > againWindow })
}

func firstOf(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

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

// recoverNames gives the host its resolvers back whatever is recorded of them.
func (g *Guard) recoverNames(res *Result) error {
	warnings, err := g.restoreNames()
	res.Warnings = append(res.Warnings, warnings...)
	var damaged *state.CorruptError
	if !errors.As(err, &damaged) {
		return err
	}
	return g.withNames(func() error {
		kept, errKept := g.NamesJournal.Quarantine()
		if errKept != nil {
			return errors.Join(err, errKept)
		}
		return &StateError{fmt.Errorf("%w; it is kept as %q", err, kept), "the host is open, but its resolvers are not given back: look at /etc/resolv.conf"}
	})
}
