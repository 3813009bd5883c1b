// Package guard is the state machine between what a VPN client or a user
// asks for and what the kernel enforces.
//
// Every change goes the same way: plan (pure), record, apply, verify, record.
// The record says what the host was like, what it is meant to be like and
// what is being changed, so that a crash at any instruction can be put right.
// Rules come first when closing and last when opening.
package guard

import (
	"context"
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/route"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/state"
	"github.com/vpnguard/vpnguard/sysctl"
)

// Filter is the host's packet filter; package nft has it.
type Filter interface {
	Replace(rules.Ruleset) (nft.Listing, error)
	Remove() error
	List() (nft.Listing, error)
	// Restore puts a ruleset back that somebody else changed, at once and
	// without a look; tables that this process owns it leaves alone.
	Restore(rules.Ruleset) error
}

// Knobs are the host's sysctls; package sysctl has them.
type Knobs interface {
	Plan(wires, tunnels []string) ([]sysctl.Change, []sysctl.Skipped, error)
	Apply([]sysctl.Change) ([]sysctl.Change, []sysctl.Skipped, error)
	Verify([]sysctl.Change) []sysctl.Drift
	Restore([]sysctl.Change) []error
	// Forward plans the forwarding of IPv4 between interfaces.
	Forward(ifaces []string) ([]sysctl.Change, []sysctl.Skipped, error)
}

// Translator has the table of a tunnel's server role; package nft has it.
type Translator interface {
	Masquerade(rules.Masquerade) error
	// Unmasquerade removes it; none is not an error.
	Unmasquerade() error
}

// Routing is the host's steering; package route has it.
type Routing interface {
	// Main is the main routing table.
	Main() ([]route.Route, error)
	// Have is what there is of ours.
	Have() (route.Plan, error)
	Apply(route.Plan) error
	// Remove takes away whatever there is of ours.
	Remove() error
}

// Journal keeps the record; package state has it.
type Journal interface {
	Lock(context.Context) error
	Unlock() error
	Load(body any) (state.Meta, error)
	Save(body any) error
	Remove() error
	Quarantine() (string, error)
}

// Links are the host's network interfaces; package link has them.
type Links interface {
	List() ([]link.Link, error)
	RouteTo(addr netip.Addr, mark uint32) (int, error)
}

// Clients finds out about the process that sends the carrier.
type Clients interface {
	// Owner is who may send carriers of the client with this process id to
	// the endpoints.
	Owner(pid int, endpoints []endpoint.Endpoint) (Found, error)
	// Alive reports whether the process that started then still runs.
	Alive(pid int, start uint64) bool
	// Cgroup is how rules match a cgroup v2 path.
	Cgroup(path string) (rules.Cgroup, error)
}

// Resolver looks names of endpoints up.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Found is what could be learned about a client.
type Found struct {
	UIDs     []uint32 // that its carrier sockets have or will have after its privilege drop
	Mark     uint32   // that its sockets carry; 0: none
	Start    uint64   // start time of the process, in clock ticks since boot
	Warnings []string // where the choice is weak, a sentence each
}

// Guard changes and reports the state of one host.
type Guard struct {
	Filter   Filter
	NAT      Translator
	Knobs    Knobs
	Routing  Routing
	Journal  Journal
	Kept     Journal // of the lock, on a disk that outlives a boot
	Links    Links
	Clients  Clients
	Resolver Resolver
	// Names set resolvers; nil: they are left alone. NamesJournal is their
	// record, on a disk that outlives a boot.
	Names        Names
	NamesJournal Journal
	// Watching: this process stays, and heals. See [Guard.Leave].
	Watching bool
	Now      func() time.Time
	Uptime   func() time.Duration // since boot, sleep included; nobody can set it
	NetNS    uint64               // inode number of the network namespace that all of these act on
}

// lockTimeout bounds how long a call waits for another one: a client stands
// still while its hook runs, and no change takes longer than a second or two.
const lockTimeout = 30 * time.Second

// locked runs f while no other vpnguard changes anything.
func (g *Guard) locked(ctx context.Context, f func() error) (err error) {
	wait, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	if err := g.Journal.Lock(wait); err != nil {
		return unchanged(err)
	}
	defer func() {
		if e := g.Journal.Unlock(); err == nil {
			err = e
		}
	}()
	return f()
}
