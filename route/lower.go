package route

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// loopback is the interface by which the host's own packets come into being.
const loopback = "lo"

func toRule(r Rule) *netlink.Rule {
	out := netlink.NewRule()
	out.Family, out.Priority, out.Table, out.Protocol = unix.AF_INET, int(r.Priority), int(r.Table), Protocol
	if r.IPv6 {
		out.Family = unix.AF_INET6
	}
	out.Src, out.Dst, out.OifName, out.IPProto = toNet(r.From), toNet(r.To), r.Oif, int(r.Proto)
	if r.Local {
		out.IifName = loopback
	}
	if r.Mask != 0 {
		out.Mark, out.Mask = r.Mark, &r.Mask
	}
	if r.ByUID {
		out.UIDRange = netlink.NewRuleUIDRange(r.UID, r.UID)
	}
	out.Sport, out.Dport = toPorts(r.Sport), toPorts(r.Dport)
	if r.Table == 0 {
		out.Type = unix.RTN_UNREACHABLE
	}
	out.SuppressPrefixlen = int(r.Longer) - 1
	return out
}

// fromRule reads what toRule makes.
func fromRule(r netlink.Rule) Rule {
	out := Rule{
		IPv6: r.Family == unix.AF_INET6, Priority: uint32(r.Priority), Table: uint32(r.Table), Local: r.IifName == loopback, Oif: r.OifName,
		Proto: uint8(r.IPProto), From: fromNet(r.Src), To: fromNet(r.Dst), Sport: fromPorts(r.Sport), Dport: fromPorts(r.Dport),
		Longer: uint8(r.SuppressPrefixlen + 1),
	}
	if r.Mask != nil {
		out.Mark, out.Mask = r.Mark, *r.Mask
	}
	if r.UIDRange != nil {
		out.ByUID, out.UID = true, r.UIDRange.Start
	}
	return out
}

func toRoute(r Route) *netlink.Route {
	out := &netlink.Route{
		Family: unix.AF_INET, Table: int(r.Table), Dst: toNet(r.Dst), LinkIndex: r.Dev, Priority: int(r.Metric),
		Protocol: Protocol, Type: int(r.Type), Gw: toIP(r.Gateway), Src: toIP(r.Source),
	}
	switch {
	case r.Dst.Addr().Is6():
		out.Family = unix.AF_INET6
	case r.Type == unix.RTN_UNICAST && !r.Gateway.IsValid():
		out.Scope = netlink.SCOPE_LINK
	}
	if r.Onlink {
		out.Flags = int(netlink.FLAG_ONLINK)
	}
	return out
}

// fromRoute takes the first of several next hops. A route by another family's
// gateway, or of another family, is none for us.
func fromRoute(r netlink.Route) (Route, bool) {
	out := Route{
		Table: uint32(r.Table), Dst: fromNet(r.Dst), Dev: r.LinkIndex, Metric: uint32(r.Priority), Protocol: uint8(r.Protocol),
		Type: uint8(r.Type), Gateway: fromIP(r.Gw), Source: fromIP(r.Src), Onlink: r.Flags&int(netlink.FLAG_ONLINK) != 0,
	}
	if len(r.MultiPath) > 0 {
		hop := r.MultiPath[0]
		out.Dev, out.Gateway = hop.LinkIndex, fromIP(hop.Gw)
	}
	if !out.Dst.IsValid() {
		switch r.Family {
		case unix.AF_INET:
			out.Dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		case unix.AF_INET6:
			out.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		}
	}
	if out.Type == unix.RTN_BLACKHOLE {
		out.Dev = 0 // IPv6 shows the loopback
	}
	return out, out.Dst.IsValid()
}

func toNet(p netip.Prefix) *net.IPNet {
	if !p.IsValid() {
		return nil
	}
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func fromNet(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	addr = addr.Unmap() // the library has default routes of IPv4 with 16 bytes
	bits, size := n.Mask.Size()
	if !ok {
		return netip.Prefix{}
	}
	if addr.Is4() && size == 128 {
		bits = max(bits-96, 0)
	}
	return netip.PrefixFrom(addr, bits)
}

func toIP(a netip.Addr) net.IP {
	if !a.IsValid() {
		return nil
	}
	return a.AsSlice()
}

func fromIP(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a
}

func toPorts(p Ports) *netlink.RulePortRange {
	if p == (Ports{}) {
		return nil
	}
	return netlink.NewRulePortRange(p.First, p.Last)
}

func fromPorts(r *netlink.RulePortRange) Ports {
	if r == nil {
		return Ports{}
	}
	return Ports{r.Start, r.End}
}
