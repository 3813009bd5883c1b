package guard

import (
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

// Request asks to seal one session. Its parts are valid values already; what
// is missing is found out.
type Request struct {
	Client   string
	Dev      string
	PID      int // of the client; 0: called by hand
	Explicit bool
	Profile  rules.Profile // counts if Explicit
	// InKernel: the kernel sends the carrier, with the uid of whoever uses the tunnel.
	InKernel bool
	// Connecting says that the tunnel does not work yet; see [Guard.Connected].
	Connecting bool
	Split      bool // the client proved that only some traffic belongs in the tunnel

	Endpoints []endpoint.Endpoint
	// Listen is the UDP port of a tunnel's server; 0: it is a client.
	Listen uint16
	// Masquerade is what the server does for its peers; nil: nothing.
	Masquerade *rules.Masquerade
	Names      []endpoint.OrName
	// ResolveTimeout bounds the looking up of Names; 0 looks nothing up.
	ResolveTimeout time.Duration
	UIDs           []uint32 // with Mark and Cgroup: the owner as the user gave it
	Mark           uint32
	Mask           uint32
	Cgroup         string

	Addresses    []netip.Prefix
	DNS          []netip.Addr
	Domains      []string
	RouteDomains []string
	Naming       Naming
	Routes       []netip.Prefix
	Bootstrap    []netip.Addr

	Settings Settings
}

// ownerGiven reports whether the user said who the owner is.
func (r Request) ownerGiven() bool {
	return len(r.UIDs) > 0 || r.Mask != 0 || r.Cgroup != ""
}

// Result is what a change came to.
type Result struct {
	Session  Session
	State    State
	Text     string   // of a dry run: the ruleset
	Names    []string // of a dry run: the resolvers, and in whose configuration
	Knobs    []string // of a dry run: the sysctls
	Routing  []string // of a dry run: routing rules and routes
	Warnings []string
	Done     []string // what was done, a sentence each
}
