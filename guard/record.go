package guard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/state"
	"github.com/vpnguard/vpnguard/sysctl"
)

// Phase says whether the record and the kernel should agree.
type Phase string

const (
	Steady   Phase = "steady"   // they should
	Applying Phase = "applying" // rules and knobs of this record are going in
	Removing Phase = "removing" // they are going out
)

// Record is the journal's body.
type Record struct {
	Phase       Phase           `json:"phase"`
	Sessions    []Session       `json:"sessions"`
	Lock        *Lock           `json:"lock"` // nil: not locked
	Settings    Settings        `json:"settings"`
	Wires       []rules.Wire    `json:"wires"`
	Knobs       []sysctl.Change `json:"knobs"`       // with the values to restore
	Skipped     []string        `json:"skipped"`     // knobs that could not be set, and why
	Fingerprint string          `json:"fingerprint"` // of the kernel's rules when they were verified
	Problem     string          `json:"problem"`     // why the state is blocked; empty: it is not
	Since       time.Time       `json:"since"`
}

// Settings are what the configuration adds to every session.
type Settings struct {
	LAN     bool            `json:"lan"`
	AllowIn []rules.Service `json:"allow_in"`
	Guests  []string        `json:"guests"`
	NoFence bool            `json:"no_fence"` // the user goes without fences
}

// Session is one VPN connection that a client reported.
type Session struct {
	ID        string              `json:"id"` // the device's name: two sessions never share one
	Client    string              `json:"client"`
	Dev       string              `json:"dev"`
	PID       int                 `json:"pid"`   // 0: unknown, made by hand
	Start     uint64              `json:"start"` // start time of PID
	Profile   rules.Profile       `json:"profile"`
	Explicit  bool                `json:"explicit"` // the profile was asked for, not guessed
	Endpoints []endpoint.Endpoint `json:"endpoints"`
	Owner     rules.Owner         `json:"owner"`
	Addresses []netip.Prefix      `json:"addresses"`
	DNS       []netip.Addr        `json:"dns"`
	Domains   []string            `json:"domains"`
	Routes    []netip.Prefix      `json:"routes"`
	Bootstrap []netip.Addr        `json:"bootstrap_dns"`
	Up        bool                `json:"up"` // false: the client reconnects
	Since     time.Time           `json:"since"`
}

// load reads the record. None is an empty one; a record of another boot
// describes a kernel that is gone and counts as none.
func (g *Guard) load() (rec Record, found bool, err error) {
	_, err = g.Journal.Load(&rec)
	var foreign *state.ForeignBootError
	switch {
	case err == nil:
		return rec, true, nil
	case errors.Is(err, state.ErrNone), errors.As(err, &foreign):
		return Record{Phase: Steady}, false, nil
	}
	return Record{}, false, &UsageError{fmt.Errorf("read the record of this host: %w", err),
		"nothing was changed; rules that are in force stay; `vpnguard recover` opens the host and keeps the file for inspection"}
}

// idle reports whether nothing is to be enforced.
func (r Record) idle() bool { return len(r.Sessions) == 0 && r.Lock == nil }

// settings are those of sessions and lock together: what either allows.
func (r Record) settings() Settings {
	s := r.Settings
	if r.Lock == nil {
		return s
	}
	if len(r.Sessions) == 0 {
		return r.Lock.Settings
	}
	l := r.Lock.Settings
	return Settings{
		LAN: s.LAN || l.LAN, NoFence: s.NoFence || l.NoFence,
		AllowIn: union(s.AllowIn, l.AllowIn), Guests: union(s.Guests, l.Guests),
	}
}

func union[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// policy is what lock and sessions add up to. A lock or a full session makes it full.
func (r Record) policy() rules.Policy {
	s := r.settings()
	p := rules.Policy{Profile: rules.Split, LAN: s.LAN, AllowIn: s.AllowIn, Guests: s.Guests}
	if !s.NoFence {
		p.Wires = r.Wires
	}
	for _, s := range r.Sessions {
		if s.Profile == rules.Full {
			p.Profile = rules.Full
		}
		p.Tunnels = append(p.Tunnels, s.tunnel())
		p.Carriers = append(p.Carriers, carriers(s.Owner, s.Endpoints, s.Bootstrap))
	}
	if r.Lock != nil {
		p.Profile = rules.Full
		p.Carriers = append(p.Carriers, carriers(r.Lock.Owner, r.Lock.Endpoints, r.Lock.Bootstrap))
	}
	if r.idle() {
		p.Profile = rules.Full
	}
	return p
}

func (s Session) tunnel() rules.Tunnel {
	t := rules.Tunnel{Name: s.Dev, Resolvers: s.DNS}
	for _, a := range s.Addresses {
		t.Addresses = append(t.Addresses, a.Addr())
		t.Prefixes = append(t.Prefixes, a.Masked())
	}
	t.Prefixes = append(t.Prefixes, s.Routes...)
	return t
}

// carriers lets the owner reach its endpoints and the resolver that finds them.
func carriers(o rules.Owner, ends []endpoint.Endpoint, bootstrap []netip.Addr) rules.Carrier {
	ends = slices.Clone(ends)
	for _, a := range bootstrap {
		for _, p := range []endpoint.Proto{endpoint.UDP, endpoint.TCP} {
			ends = append(ends, endpoint.Endpoint{Addr: netip.AddrPortFrom(a, 53), Proto: p})
		}
	}
	return rules.Carrier{Owner: o, Endpoints: ends}
}

func (r Record) session(dev string) (int, bool) {
	i := slices.IndexFunc(r.Sessions, func(s Session) bool { return s.Dev == dev })
	return i, i >= 0
}

func (r Record) tunnels() []string {
	names := make([]string, 0, len(r.Sessions))
	for _, s := range r.Sessions {
		names = append(names, s.Dev)
	}
	return names
}

func (r Record) clone() Record {
	r.Sessions = slices.Clone(r.Sessions)
	return r
}

// fingerprint is what the kernel's rules should be: those of no table, if
// nothing is recorded.
func (r Record) fingerprint() string {
	if r.Fingerprint == "" {
		return nft.Listing{}.Fingerprint()
	}
	return r.Fingerprint
}

// knobsSet are the recorded knobs but those that could not be set.
func (r Record) knobsSet(skipped []sysctl.Skipped) []sysctl.Change {
	return slices.DeleteFunc(slices.Clone(r.Knobs), func(c sysctl.Change) bool {
		return slices.ContainsFunc(skipped, func(s sysctl.Skipped) bool { return s.Knob == c.Knob })
	})
}

// withoutLostWires leaves out wires that vanished, and their fences with them.
func (r Record) withoutLostWires(links []link.Link) Record {
	r.Wires = slices.DeleteFunc(slices.Clone(r.Wires), func(w rules.Wire) bool {
		return !slices.ContainsFunc(links, func(l link.Link) bool { return l.Index == w.Index && l.Name == w.Name })
	})
	return r
}

// presentKnobs leaves out the knobs of interfaces that vanished.
func (r Record) presentKnobs(links []link.Link) []sysctl.Change {
	return slices.DeleteFunc(slices.Clone(r.Knobs), func(c sysctl.Change) bool {
		iface := c.Knob.Interface()
		if iface == sysctl.All {
			return false
		}
		_, ok := byName(links, iface)
		return !ok
	})
}
