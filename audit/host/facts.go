// Package host audits a machine as it is: it reviews what was read of it, sends
// a few harmless probes, and explains every frame that leaves by its links
// meanwhile. It changes nothing of the machine.
package host

import (
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/survey"
)

// Facts are what was read of the machine and of its guard.
type Facts struct {
	Guard  Guard
	Links  []Link
	Survey survey.Host
	// Routes are where routes by a wire lead that attract what belongs in a tunnel.
	Routes []netip.Prefix
	// Services listen where a wire's neighbours reach them.
	Services []Service
	// Kernel is its release.
	Kernel string
	// Sections are listings for the reader of the evidence.
	Sections []evidence.Section
}

// Guard is what is recorded and enforced.
type Guard struct {
	State string // open, locked, connecting, sealed or blocked
	// Full says that all traffic belongs in the tunnel, or is refused.
	Full     bool
	Enforced bool
	Drift    []string // what differs from what was recorded
	Notes    []string
	Exposed  []string // what the policy lets past
	Unset    []string // knobs that are not as they should be
	Carriers []Carrier
	Tunnels  []Tunnel
	// Mark is that of carriers; 0: none.
	Mark   uint32
	UIDs   []uint32 // that own carriers
	LAN    bool
	Allow  []Port // inbound services
	Listen []uint16
}

// Shut reports whether everything but the tunnel is to be closed.
func (g Guard) Shut() bool { return g.Full && g.State != "open" }

// split reports whether only what is the tunnel's own is closed.
func (g Guard) split() bool { return !g.Full && g.State != "open" }

// namesShut reports whether all resolvers but the session's are closed.
func (g Guard) namesShut() bool {
	return g.Shut() || g.split() && slices.ContainsFunc(g.Tunnels, func(t Tunnel) bool { return len(t.Resolvers) > 0 })
}

// A Carrier may go to one address, protocol and port.
type Carrier struct {
	To    netip.AddrPort
	Proto uint8
}

// A Port is a service's.
type Port struct {
	Proto uint8
	Port  uint16
}

// A Tunnel is a device that packets are encrypted behind.
type Tunnel struct {
	Name      string
	Index     int
	Addresses []netip.Addr
	Resolvers []netip.Addr
	// Prefixes are what it leads to, as far as somebody said so.
	Prefixes []netip.Prefix
}

// A Link is a wire that is watched.
type Link struct {
	Name       string
	Index      int
	MAC        string // empty: it has no Ethernet frames
	Addresses  []netip.Prefix
	Gateways   []netip.Addr
	Neighbours []Neighbour
}

// A Neighbour is one that the kernel knows on a link.
type Neighbour struct {
	Addr netip.Addr
	MAC  string
}

// A Service listens for others.
type Service struct {
	Port
	Addr    netip.Addr // unspecified: all
	Program string
}

// address is the link's own of a family, not link-local.
func (l Link) address(six bool) (netip.Addr, bool) {
	i := slices.IndexFunc(l.Addresses, func(p netip.Prefix) bool {
		return p.Addr().Is6() == six && !p.Addr().IsLinkLocalUnicast()
	})
	if i < 0 {
		return netip.Addr{}, false
	}
	return l.Addresses[i].Addr(), true
}

// router is a gateway of a family, or else a neighbour that could be one.
func (l Link) router(six bool) (netip.Addr, bool) {
	for _, g := range l.Gateways {
		if g.Is6() == six && !g.IsLinkLocalUnicast() {
			return g, true
		}
	}
	return netip.Addr{}, false
}

// somebody is a neighbour whom the machine may look for: its router, or else the
// first address of its network that is not its own.
func (l Link) somebody(six bool) (netip.Addr, bool) {
	if r, ok := l.router(six); ok {
		return r, true
	}
	for _, p := range l.Addresses {
		if p.Addr().Is6() != six || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		first := p.Masked().Addr().Next()
		if first == p.Addr() {
			first = first.Next()
		}
		if p.Contains(first) {
			return first, true
		}
	}
	return netip.Addr{}, false
}

// mac is a neighbour's; empty: not known.
func (l Link) mac(a netip.Addr) string {
	i := slices.IndexFunc(l.Neighbours, func(n Neighbour) bool { return n.Addr == a })
	if i < 0 {
		return ""
	}
	return l.Neighbours[i].MAC
}

type addr = netip.Addr
