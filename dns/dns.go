// Package dns sets the resolvers of VPN sessions where the host keeps its own,
// and gives those back.
//
// Somebody owns the host's resolver configuration: systemd-resolved,
// NetworkManager, resolvconf, or nobody but the file /etc/resolv.conf itself.
// Who it is, is found out anew each time. Nothing here opens or closes
// anything: what names may be asked of is the packet filter's to say, and a
// failure leaves names that do not resolve, never ones that leak.
package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Owner is who keeps the resolver configuration.
type Owner string

// The owners. The zero value is nobody.
const (
	Resolved       Owner = "resolved"       // systemd-resolved, by D-Bus
	NetworkManager Owner = "networkmanager" // by D-Bus
	Resolvconf     Owner = "resolvconf"     // Debian's or openresolv, by its command
	File           Owner = "file"           // /etc/resolv.conf itself
)

// String is how a person knows the owner.
func (o Owner) String() string {
	switch o {
	case Resolved:
		return "systemd-resolved"
	case NetworkManager:
		return "NetworkManager"
	case Resolvconf:
		return "resolvconf"
	case File:
		return resolvConf
	}
	return "nobody"
}

// Link is what one session wants.
type Link struct {
	Dev     string       `json:"dev"`
	Servers []netip.Addr `json:"servers"`
	Search  []string     `json:"search"` // completed to, and asked of Servers
	Route   []string     `json:"route"`  // asked of Servers
	// All: every name that no other link claims is to be asked of Servers.
	// Owners that cannot tell names apart ask the links in their order.
	All bool `json:"all"`
}

// Wish is what all sessions want together, the first link first.
type Wish struct {
	Links []Link
	// Last are asked after all others, by the few who may: they find the VPN
	// server again when the tunnel is away.
	Last []netip.Addr
}

// Empty reports whether there is nothing to set.
func (w Wish) Empty() bool { return len(w.Links) == 0 }

// ErrNoOwner means that the owner that was asked for is not there.
var ErrNoOwner = errors.New("no such owner of the resolver configuration")

// Saved is what was set and what was there before: all that is needed to give
// the host back. It must be on a disk before [System.Apply] is called with it.
type Saved struct {
	Owner    Owner           `json:"owner"`
	Links    []Link          `json:"links"`
	File     *fileState      `json:"file,omitempty"`
	Resolved []resolvedState `json:"resolved,omitempty"`
	Manager  *managerState   `json:"networkmanager,omitempty"`
	Record   []byte          `json:"record,omitempty"` // that resolvconf is told
	// Asker is the uid of an owner that asks each link's servers of that link's
	// names alone; nil: this one does not. Apply finds it out.
	Asker *uint32 `json:"asker,omitempty"`
	// LeavingLinks are of sessions that ended, to be given back.
	LeavingLinks []resolvedState `json:"leaving_links,omitempty"`
}

// System is the host. The zero value is this one.
type System struct {
	Root string // in place of /, for tests
	Bus  string // socket of the system bus; empty: the usual one
	// run runs a program with this input; nil: really.
	run func(input []byte, name string, args ...string) error
}

// backend is one way of setting resolvers. prepare changes nothing; apply may be
// called again after it was killed anywhere; restore, too.
type backend interface {
	prepare(old *Saved, w Wish) (Saved, error)
	apply(Saved) (Saved, error)
	verify(Saved) []string
	restore(Saved) (warnings []string, err error)
}

func (s System) backend(o Owner) (backend, error) {
	switch o {
	case Resolved:
		return resolved{s}, nil
	case NetworkManager:
		return manager{s}, nil
	case Resolvconf:
		return resolvconf{s}, nil
	case File:
		return file{s}, nil
	}
	return nil, fmt.Errorf("resolver configuration of %q: %w", string(o), ErrNoOwner)
}

// Prepare says what to save before Apply. old is what was saved before, if
// anything: what it knows of the time before us stays known.
func (s System) Prepare(o Owner, old *Saved, w Wish) (Saved, error) {
	if err := w.check(); err != nil {
		return Saved{}, err
	}
	b, err := s.backend(o)
	if err != nil {
		return Saved{}, err
	}
	if old != nil && old.Owner != o {
		return Saved{}, fmt.Errorf("resolvers were set by %s and are to be set by %s: give those back first", old.Owner, o)
	}
	next, err := b.prepare(old, w)
	next.Owner, next.Links = o, w.Links
	return next, err
}

// Apply sets what was saved and returns what is to be saved from now on. After
// an error the names are as before or partly set; Restore gives them back.
func (s System) Apply(saved Saved) (Saved, error) {
	b, err := s.backend(saved.Owner)
	if err != nil {
		return saved, err
	}
	return b.apply(saved)
}

// Verify says what is not as it was set, a sentence each.
func (s System) Verify(saved Saved) []string {
	b, err := s.backend(saved.Owner)
	if err != nil {
		return []string{err.Error()}
	}
	return b.verify(saved)
}

// Restore gives back what was there before. What somebody else has set since is
// left alone, with a warning. After an error Restore can be tried again.
func (s System) Restore(saved Saved) (warnings []string, err error) {
	b, err := s.backend(saved.Owner)
	if err != nil {
		return nil, err
	}
	return b.restore(saved)
}

// Servers are all servers in the order in which they are asked.
func (w Wish) servers() []netip.Addr {
	var all []netip.Addr
	for _, l := range w.Links {
		all = append(all, l.Servers...)
	}
	all = unique(all)
	// glibc asks three (MAXNS): keep room for one that finds the VPN server.
	if last := unique(w.Last); len(last) > 0 {
		all = append(all[:min(len(all), maxServers-1)], last...)
	}
	return all[:min(len(all), maxServers)]
}

func (w Wish) search() []string {
	var all []string
	for _, l := range w.Links {
		all = append(all, l.Search...)
	}
	return unique(all)
}

// maxServers are asked by glibc (resolv.conf(5), MAXNS).
const maxServers = 3

func unique[T comparable](list []T) []T {
	var out []T
	for _, v := range list {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// check refuses what is no address, no name and no device: values come from
// servers, and what is set here is read by shells and parsers of others.
func (w Wish) check() error {
	for _, l := range w.Links {
		if _, err := endpoint.ParseIfName(l.Dev); err != nil {
			return fmt.Errorf("resolvers of a link: %w", err)
		}
		if len(l.Servers) == 0 {
			return fmt.Errorf("link %q has no resolver", l.Dev)
		}
		for _, a := range l.Servers {
			if err := endpoint.CheckAddr(a); err != nil {
				return fmt.Errorf("resolver %q of link %q: %w", a, l.Dev, err)
			}
		}
		for _, d := range slices.Concat(l.Search, l.Route) {
			name, err := endpoint.ParseName(d)
			if err == nil && name != d {
				err = errors.New("not in its plain form")
			}
			if err != nil {
				return fmt.Errorf("domain %q of link %q: %w", d, l.Dev, err)
			}
		}
	}
	for _, a := range w.Last {
		if err := endpoint.CheckAddr(a); err != nil {
			return fmt.Errorf("resolver %q: %w", a, err)
		}
	}
	return nil
}
