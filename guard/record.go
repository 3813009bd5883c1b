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
	"github.com/vpnguard/vpnguard/route"
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
	Phase    Phase           `json:"phase"`
	NetNS    uint64          `json:"netns"` // inode number of the network namespace that it is about
	Sessions []Session       `json:"sessions"`
	Lock     *Lock           `json:"lock"` // nil: not locked
	Wires    []rules.Wire    `json:"wires"`
	Knobs    []sysctl.Change `json:"knobs"`   // with the values to restore
	Skipped  []string        `json:"skipped"` // knobs that could not be set, and why
	Steer    route.Plan      `json:"steer"`   // routing rules and routes of ours that there should be
	// Unsteered is why not everything is planned to be steered.
	Unsteered string `json:"unsteered"`
	// Refused is why the kernel has none of Steer; empty: it has all.
	Refused string `json:"refused"`
	// Fingerprints are those of the kernel's rules when they were verified.
	Fingerprints map[string]string `json:"fingerprints"`
	Problem      string            `json:"problem"` // why the state is blocked; empty: it is not
	NoLog        bool              `json:"no_log"`  // the kernel cannot tell of blocked packets
	Since        time.Time         `json:"since"`
	// Apart: the sessions' resolvers are set for the sessions' own names alone.
	// Asker is the uid of who asks each name of the right resolver, and may
	// therefore ask others; nil: nobody may. It is set after the names are, and
	// taken away before they change.
	Apart bool    `json:"apart,omitempty"`
	Asker *uint32 `json:"asker,omitempty"`
	// Translates says that the table of a server's masquerade may be there.
	Translates bool `json:"translates,omitempty"`
}

// Settings are what the configuration adds to every session.
type Settings struct {
	LAN     bool            `json:"lan"`
	AllowIn []rules.Service `json:"allow_in"`
	Guests  []string        `json:"guests"`
	NoFence bool            `json:"no_fence"` // the user goes without fences
	// Table is the first of the routing tables that steer; 0: the rules do without.
	Table uint32 `json:"table"`
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
	Listen    uint16              `json:"listen,omitzero"` // of a tunnel's server, whose peers may be anywhere
	// Masquerade is what the server does for its peers; nil: nothing.
	Masquerade *rules.Masquerade `json:"masquerade,omitempty"`
	Owner      rules.Owner       `json:"owner"`
	Addresses  []netip.Prefix    `json:"addresses"`
	DNS        []netip.Addr      `json:"dns"`
	Domains    []string          `json:"domains"`
	// RouteDomains are asked of DNS and not searched; Naming says who sets both.
	RouteDomains []string       `json:"route_domains"`
	Naming       Naming         `json:"naming"`
	Routes       []netip.Prefix `json:"routes"`
	Bootstrap    []netip.Addr   `json:"bootstrap_dns"`
	Settings     Settings       `json:"settings"` // of the configuration that it was sealed with
	Up           bool           `json:"up"`       // false: the client reconnects
	Since        time.Time      `json:"since"`
}

// load reads the record. None is an empty one; a record of another boot
// describes a kernel that is gone and counts as none.
func (g *Guard) load() (rec Record, found bool, err error) {
	_, err = g.Journal.Load(&rec)
	var foreign *state.ForeignBootError
	switch {
	case err == nil && rec.NetNS != g.NetNS:
		return Record{}, false, g.elsewhere(rec)
	case err == nil:
		return rec, true, nil
	case errors.Is(err, state.ErrNone), errors.As(err, &foreign):
		return Record{Phase: Steady}, false, nil
	}
	return Record{}, false, &UsageError{fmt.Errorf("read the record of this host: %w", err),
		"nothing was changed; rules that are in force stay; `vpnguard recover` opens the host and keeps the file for inspection"}
}

// elsewhere: /run is shared by programs in several network namespaces, rules
// are not.
func (g *Guard) elsewhere(rec Record) error {
	return usage(fmt.Errorf("the record is about network namespace %d, and this is %d", rec.NetNS, g.NetNS),
		"nothing was changed; call vpnguard where the sealed host's network is")
}

// idle reports whether nothing is to be enforced.
func (r Record) idle() bool { return len(r.Sessions) == 0 && r.Lock == nil }

// settings are what all sessions allow, and what the lock allows: a session
// must not loosen another one, nor cut off what the lock keeps reachable.
func (r Record) settings() Settings {
	var s Settings
	for i, session := range r.Sessions {
		if i == 0 {
			s = session.Settings
			continue
		}
		o := session.Settings
		s = Settings{
			LAN: s.LAN && o.LAN, NoFence: s.NoFence && o.NoFence,
			AllowIn: common(s.AllowIn, o.AllowIn), Guests: common(s.Guests, o.Guests),
		}
	}
	if r.Lock == nil {
		return s
	}
	l := r.Lock.Settings
	s.LAN, s.NoFence = s.LAN || l.LAN, l.NoFence && (s.NoFence || len(r.Sessions) == 0)
	s.AllowIn, s.Guests = union(s.AllowIn, l.AllowIn), union(s.Guests, l.Guests)
	return s
}

func common[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(v T) bool { return !slices.Contains(b, v) })
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
	p := rules.Policy{Profile: rules.Split, LAN: s.LAN, AllowIn: s.AllowIn, Guests: s.Guests, Asker: r.Asker, Log: !r.NoLog}
	if !s.NoFence {
		p.Wires = r.Wires
	}
	for _, s := range r.Sessions {
		if s.Profile == rules.Full {
			p.Profile = rules.Full
		}
		p.Tunnels = append(p.Tunnels, s.tunnel())
		c := carriers(s.Owner, s.Endpoints, s.Bootstrap)
		c.Listen = s.Listen
		p.Carriers = append(p.Carriers, c)
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

// knobsSet are the recorded knobs but those that could not be set.
func (r Record) knobsSet(skipped []sysctl.Skipped) []sysctl.Change {
	return slices.DeleteFunc(slices.Clone(r.Knobs), func(c sysctl.Change) bool {
		return slices.ContainsFunc(skipped, func(s sysctl.Skipped) bool { return s.Knob == c.Knob })
	})
}

// withFences leaves out wires that vanished and took their fences along. Since
// Linux 6.16 a fence outlives its device.
func (r Record) withFences(links []link.Link, have nft.Listing) Record {
	r.Wires = slices.DeleteFunc(slices.Clone(r.Wires), func(w rules.Wire) bool {
		there := slices.ContainsFunc(links, func(l link.Link) bool { return l.Index == w.Index && l.Name == w.Name })
		return !there && !have.Has(rules.Netdev, rules.FenceName(w))
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
