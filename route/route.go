// Package route steers packets by routing rules and tables of its own: what is
// not a carrier's goes into the tunnel whatever the main table says. It is the
// second line behind the packet filter, which holds without it.
//
//	1909  a carrier's tuple, by its owner        -> table N, then main (1910), then nowhere (1911)
//	1912  what belongs to a tunnel by its prefix -> table N+1
//	1913  from a tunnel's address                -> tables N+2, N+3, ... of each tunnel
//	1914  from a wire's address, to a server     -> table N
//	1915  link upkeep, neighbours, named services -> main
//	1916  all else                               -> table N+2: a tunnel, or nowhere
//
// The local table's rule stays first, and main's after these.
package route

import (
	"errors"
	"net/netip"
)

// Protocol marks every rule and route of ours, so that they can be told from
// anybody else's without a record: the letter v, a number that neither the
// kernel nor iproute2's rt_protos gives to anybody.
const Protocol = 'v'

// Priorities of the rules: after those of VRFs (1000), before those of people's
// own policy routing and of other VPNs (5210, 32764), which would lead past us.
const (
	priorityCarrier = 1909 + iota // to table N
	priorityMain                  // to main, if that has no route
	priorityNowhere               // an error, or another tunnel's table
	priorityInside                // to table N+1
	priorityTunnel                // to the table of that tunnel
	priorityReply                 // to table N
	priorityUpkeep                // to main
	priorityEnd                   // to table N+2
	priorityOutside               // not ours any more
)

// tableMain is the main table's number (rtnetlink(7)).
const tableMain = 254

// lastMetric is the highest that a route can have: what has it comes last.
const lastMetric = 1<<32 - 1

// ErrInUse means that somebody else has rules or routes where ours would be.
var ErrInUse = errors.New("in use by somebody else")

// Rule is a routing rule: packets that match all that is set look at Table. Where
// that is 0 they go nowhere: whoever sends them gets an error.
type Rule struct {
	IPv6     bool         `json:"ipv6,omitzero"`
	Priority uint32       `json:"priority"`
	From     netip.Prefix `json:"from,omitzero"`
	To       netip.Prefix `json:"to,omitzero"`
	Local    bool         `json:"local,omitzero"` // of this host's own packets only
	Oif      string       `json:"oif,omitzero"`   // of sockets bound to it only
	Mark     uint32       `json:"mark,omitzero"`
	Mask     uint32       `json:"mask,omitzero"` // zero: the mark is not compared
	ByUID    bool         `json:"by_uid,omitzero"`
	UID      uint32       `json:"uid,omitzero"` // counts if ByUID
	Proto    uint8        `json:"proto,omitzero"`
	Sport    Ports        `json:"sport,omitzero"`
	Dport    Ports        `json:"dport,omitzero"`
	Table    uint32       `json:"table"`
	// Longer lets only those routes of Table count whose prefix has at least so
	// many bits; 0: all.
	Longer uint8 `json:"longer,omitzero"`
}

// Ports is a range, both ends included; the zero value is any.
type Ports struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// Route is one route.
type Route struct {
	Table    uint32       `json:"table"`
	Dst      netip.Prefix `json:"dst"` // a default route's has no bits
	Gateway  netip.Addr   `json:"gateway,omitzero"`
	Dev      int          `json:"dev,omitzero"` // index of the link; 0 for a blackhole
	Name     string       `json:"name,omitzero"`
	Source   netip.Addr   `json:"source,omitzero"`
	Metric   uint32       `json:"metric,omitzero"`
	Onlink   bool         `json:"onlink,omitzero"` // the gateway is a neighbour, whatever prefixes say
	Type     uint8        `json:"type"`            // rtnetlink(7): 1 unicast, 6 blackhole
	Protocol uint8        `json:"-"`               // who made it
}

// Plan is all rules and routes that there should be, in the order in which they
// go in. The zero Plan is none.
type Plan struct {
	Rules  []Rule  `json:"rules"`
	Routes []Route `json:"routes"`
}

// Empty reports whether nothing is steered.
func (p Plan) Empty() bool { return len(p.Rules)+len(p.Routes) == 0 }

// same compares what the kernel can tell; a name is for people.
func (r Route) same(o Route) bool {
	r.Name, o.Name, r.Protocol, o.Protocol = "", "", 0, 0
	return r == o
}
