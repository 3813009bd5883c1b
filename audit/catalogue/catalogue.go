// Package catalogue is the list of leaks that an audit knows of: what each is,
// how bad, which packet proves it, what closes it, and what a laboratory of
// network namespaces can tell about it.
package catalogue

import (
	"fmt"
	"slices"
)

// Version of the catalogue; it grows when ids are added, and an id never
// changes its meaning.
const Version = 1

// Severity is from the user's point of view. The zero value is the worst.
type Severity int

// The severities.
const (
	Critical Severity = iota // content or the real address reaches somebody who needs no more than the LAN, or less
	High                     // the same by a common misconfiguration, a local program or an everyday event
	Medium                   // identity or metadata, or somebody needs privileges
	Low                      // a fingerprint, or an oracle of limited value
	Info                     // to be told; nothing on the client closes it
)

var severities = []string{"critical", "high", "medium", "low", "info"}

func (s Severity) String() string {
	if s < Critical || s > Info {
		return fmt.Sprintf("severity %d", int(s))
	}
	return severities[s]
}

// MarshalText writes the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the severity's name.
func (s *Severity) UnmarshalText(text []byte) error {
	i := slices.Index(severities, string(text))
	if i < 0 {
		return fmt.Errorf("severity %q: want one of %q", text, severities)
	}
	*s = Severity(i)
	return nil
}

// Score is the severity as code hosts take it, 0 to 10 (SARIF's
// security-severity).
func (s Severity) Score() float64 {
	if s < Critical || s > Info {
		return 10
	}
	return []float64{9.5, 8, 5.5, 3, 0}[s]
}

// Class is what the ids of one part of the catalogue have in common.
type Class string

// The classes, in the catalogue's order.
const (
	Routes    Class = "routes"    // the local network changes routes and addresses
	Endpoint  Class = "endpoint"  // the exception for the VPN server
	Programs  Class = "programs"  // local programs that choose their own way
	IPv6      Class = "ipv6"      //
	Names     Class = "names"     //
	Forwarded Class = "forwarded" // guests
	Inbound   Class = "inbound"   // probes from outside, ARP and inference
	Time      Class = "time"      // windows in the life of the tunnel
	Chatter   Class = "chatter"   // background traffic and metadata
)

// Place is where an id can be tested. The zero value is nowhere.
type Place int

// The places.
const (
	Nowhere    Place = iota // it can only be stated
	Namespaces              // network namespaces suffice
	Daemon                  // namespaces, and a daemon or module that a runner may lack
	Machine                 // a booted machine
	Server                  // the VPN server's side
)

func (p Place) String() string {
	if p < Nowhere || p > Server {
		return fmt.Sprintf("place %d", int(p))
	}
	return [...]string{"nowhere", "namespaces", "namespaces and a daemon", "a booted machine", "the server"}[p]
}

// MarshalText writes the place's name.
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// An Entry is one leak.
type Entry struct {
	ID       string   `json:"id"`
	Class    Class    `json:"class"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	Why      string   `json:"why"`    // it is so severe
	Packet   string   `json:"packet"` // what proves it, and where
	Closed   string   `json:"closed"` // by which rule or setting
	Where    Place    `json:"where"`  // it can be tested
	Limits   string   `json:"limits"` // what namespaces tell of it, and what not
}

// All returns every entry, in the catalogue's order.
func All() []Entry {
	return slices.Concat(routes, endpoints, programs, ipv6, names, forwarded, inbound, windows, chatter)
}

// Find returns the entry of an id.
func Find(id string) (Entry, error) {
	for _, e := range All() {
		if e.ID == id {
			return e, nil
		}
	}
	return Entry{}, fmt.Errorf("no leak is called %q", id)
}
