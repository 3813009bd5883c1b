// Package config turns the bytes of vpnguard.toml into a validated Config, and
// holds the parsers of the values that the command line shares with the file.
// It does no I/O and resolves nothing.
package config

import (
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Config is what a user can set. The zero value is the strictest: full
// profile, fence required, nothing allowed, no owner, no name resolved.
type Config struct {
	Profile Profile
	Owners  []Owner           // "owner"; all parts of an owner that are given must match
	Mark    Mark              // "mark"; zero: not compared
	Cgroup  Cgroup            // "cgroup"; "": not compared
	LAN     bool              // "lan": whether the LAN may be reached
	AllowIn []Service         // "allow_in": reachable from the wire
	Guests  []endpoint.IfName // "guests": containers and VMs that may use the tunnel
	Fence   Fence
	Steer   Steer
	// SteerTable is the first of the routing tables that steer, "steer_table".
	SteerTable uint32
	Endpoints  []endpoint.OrName // "endpoints": VPN servers beside those the client tells
	DNS        []netip.Addr      // "dns", a list: resolvers in the tunnel
	Naming     Naming            // "dns", a word: who sets the session's resolvers
	Domains    []string          // "domains": asked of DNS, see [endpoint.ParseName]; with "~" before it, not searched

	// BootstrapDNS is who the owner alone may ask for the server's address
	// while all else is closed.
	BootstrapDNS []netip.Addr

	// OpenOnServerStop says that a stop which the server caused opens like
	// one by the user. It lets the server take the guard off.
	OpenOnServerStop bool

	// ResolveTimeout bounds the resolving of names before closing: 1s..30s,
	// 0 resolves nothing.
	ResolveTimeout time.Duration
}

// The bounds of resolve_timeout: below, no slow resolver answers; above, the
// client that waits for its hook gives up.
const (
	MinResolveTimeout = time.Second
	MaxResolveTimeout = 30 * time.Second
)

// Default is the configuration of an empty file.
func Default() Config {
	return Config{Profile: ProfileAuto, ResolveTimeout: 3 * time.Second, SteerTable: DefaultSteerTable}
}
