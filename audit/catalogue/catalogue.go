// Package catalogue is the list of leaks that an audit knows of: what each is,
// how bad, which packet proves it, what closes it, and what a laboratory of
// network namespaces can tell about it.
package catalogue

import (
	"fmt"
	"slices"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// Version of the catalogue; it grows when ids are added, and an id never
// changes its meaning.
const Version = "1"

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

// Place is where an id can be tested.
type Place string

// The places.
const (
	Namespaces Place = "NS"   // network namespaces suffice
	Daemon     Place = "NS+"  // namespaces, and a daemon or module that a runner may lack
	Machine    Place = "HOST" // a booted machine
	Server     Place = "SRV"  // the VPN server's side
	Nowhere    Place = "DOC"  // it can only be stated
)

// An Entry is one leak.
type Entry struct {
	ID       string            `json:"id"`
	Class    Class             `json:"class"`
	Title    string            `json:"title"`
	Severity evidence.Severity `json:"severity"`
	Why      string            `json:"why"`    // it is so severe
	Packet   string            `json:"packet"` // what proves it, and where
	Closed   string            `json:"closed"` // by which rule or setting
	Where    Place             `json:"where"`  // it can be tested
	Limits   string            `json:"limits"` // what namespaces tell of it, and what not
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

// Classes are all entries as an audit's evidence has them.
func Classes() []evidence.Class {
	var all []evidence.Class
	for _, e := range All() {
		all = append(all, evidence.Class{
			ID: e.ID, Title: e.Title, Severity: e.Severity, Test: string(e.Where), Fix: e.Closed,
			Text: fmt.Sprintf("%s. On the wire: %s. In namespaces: %s.", e.Why, e.Packet, e.Limits),
		})
	}
	return all
}

// Residual are the risks that no audit of a client can take away, in sentences.
func Residual() (all []string) {
	for _, e := range All() {
		if e.Where == Nowhere || e.Where == Machine || e.Where == Server {
			all = append(all, fmt.Sprintf("%s: %s (%s)", e.ID, e.Title, e.Limits))
		}
	}
	return append(all,
		"selective-dos: what a guard drops, the LAN can still see missing in the tunnel's volume",
		"a privileged program can send to the carrier's exact address and port by a packet socket",
		"only these probes were run: what they do not try is not shown to be closed")
}
