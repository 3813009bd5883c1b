package host

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

var everywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// private are the LAN's ranges that `lan = true` lets out.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("fc00::/7"),
}

// Declare is the policy of one link: what may leave by it, with the reason. It
// says what the guard was told, not what its rules are. Names is whether name
// services are looked at, which no permit covers.
func Declare(f Facts, l Link, names bool) evidence.Declared {
	d := evidence.Declared{Entries: []evidence.Entry{
		{Name: "ARP", Kind: evidence.ARP, Reason: "without it no carrier"},
		{Name: "EAPOL", Kind: evidence.EAPOL, Reason: "the port's own access control"},
		{Name: "DHCP", Kind: evidence.DHCP, Reason: "the link's own address"},
		{Name: "DHCPv6", Kind: evidence.DHCPv6, Reason: "the link's own address"},
		{Name: "neighbour discovery", Kind: evidence.ND, Reason: "without it no carrier"},
	}}
	if l.MAC != "" {
		d.MACs = []string{l.MAC}
	}
	for _, p := range l.Addresses {
		d.Hosts = append(d.Hosts, p.Addr())
	}
	d.Neighbours = neighbours(f, l)
	for _, c := range f.Guard.Carriers {
		to := netip.PrefixFrom(c.To.Addr(), c.To.Addr().BitLen())
		d.Entries = append(d.Entries, evidence.Entry{Name: "carrier " + c.To.String(), Kind: evidence.Carrier, Reason: "recorded of a session or of the lock", To: to, Proto: c.Proto, ToPort: c.To.Port()})
	}
	permit := func(name, reason string, to []netip.Prefix, proto uint8, from uint16) {
		for _, p := range to {
			d.Entries = append(d.Entries, evidence.Entry{Name: name, Kind: evidence.Permit, Reason: reason, To: p, Proto: proto, FromPort: from})
		}
	}
	for _, port := range f.Guard.Listen {
		permit(fmt.Sprintf("server udp/%d", port), "the tunnel's server answers anybody", everywhere, wire.UDP, port)
	}
	for _, s := range f.Guard.Allow {
		permit(fmt.Sprintf("inbound %s", s), "allowed by name in allow_in", everywhere, s.Proto, s.Port)
	}
	if !names && f.Guard.LAN {
		permit("LAN", "lan = true", private, 0, 0)
	}
	if !names && f.Guard.split() {
		permit("clear text", "the session is split: only its own prefixes belong in the tunnel", everywhere, 0, 0)
	}
	for _, t := range f.Guard.Tunnels {
		d.Never = append(d.Never, t.Addresses...)
	}
	return d
}

// neighbours are whom the machine may look for, and answer: gateways, and those
// that the kernel knows and that belong on the link. A public address that a
// rogue LAN took for its own is not among them.
func neighbours(f Facts, l Link) []netip.Addr {
	all := slices.Clone(l.Gateways)
	servers := func(a netip.Addr) bool {
		return slices.ContainsFunc(f.Guard.Carriers, func(c Carrier) bool { return c.To.Addr() == a })
	}
	for _, n := range l.Neighbours {
		known := n.Addr.IsPrivate() || n.Addr.IsLinkLocalUnicast() || servers(n.Addr)
		if known && !slices.Contains(all, n.Addr) {
			all = append(all, n.Addr)
		}
	}
	return all
}

func (p Port) String() string {
	switch p.Proto {
	case wire.TCP:
		return fmt.Sprintf("tcp/%d", p.Port)
	case wire.UDP:
		return fmt.Sprintf("udp/%d", p.Port)
	}
	return fmt.Sprintf("protocol %d port %d", p.Proto, p.Port)
}
