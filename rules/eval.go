package rules

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Path is the way of a packet through the hooks.
type Path uint8

const (
	// FromHost: a socket of the host (or its kernel) sends it.
	FromHost Path = iota
	// ToHost: it arrives for the host.
	ToHost
	// Forwarded: it arrives and is routed on.
	Forwarded
	// RawFrame: a packet socket, a macvlan child or a bridged guest sends it
	// past all inet hooks.
	RawFrame
)

// Packet is what rules can see of a packet. The zero value of each field is
// "not so": no socket, no route, no port.
type Packet struct {
	Path     Path
	In, Out  string // interface names
	Ether    uint16 // 0: by the family of Dst
	Src, Dst netip.Addr
	Proto    uint8
	SrcPort  uint16
	DstPort  uint16
	Type     uint8 // of ICMP
	Code     uint8
	HopLimit uint8
	Length   uint16     // of what follows the IPv6 header, in bytes
	DHCPOp   uint8      // 1 or 2 in a well-formed DHCP message, else 0
	NDTarget netip.Addr // whom a solicitation or an advertisement is about
	ARPForm  bool       // ARP for IPv4 over Ethernet, request or reply, without freight
	ARPFrom  netip.Addr
	ARPTo    netip.Addr
	// Trailing is a fragment that is not the first. Of IPv4, the kernel takes
	// the bytes behind its header for ports or an ICMP type all the same
	// (measured on Linux 6.18): SrcPort, DstPort, Type and Code are those bytes.
	Trailing bool

	Midstream bool // a TCP segment that opens no connection

	Socket bool // whether a socket made it; UID and Cgroup count only then
	UID    uint32
	Cgroup uint64 // id
	Mark   uint32

	State CTState
	Reply bool

	SrcReachableByIn bool // a route to Src leads out by In
	DstLocal         bool // Dst is an address of the host
	DstOnIn          bool // Dst is an address of In
	SrcOnOut         bool // Src is an address of Out
}

// Decision is a verdict and where it was given.
type Decision struct {
	Verdict Verdict
	Chain   string
	Rule    string // id; empty: the chain's policy
}

func (d Decision) String() string {
	if d.Rule == "" {
		return fmt.Sprintf("%s (policy of chain %s)", d.Verdict, d.Chain)
	}
	return fmt.Sprintf("%s (rule %s of chain %s)", d.Verdict, d.Rule, d.Chain)
}

// Eval is what the ruleset does to a packet: the decision of the first chain
// that stops it, else that of the last chain that it passes. A packet that
// no chain sees is accepted with an empty Chain.
func (rs Ruleset) Eval(p Packet) Decision {
	last := Decision{Verdict: Accept}
	for _, step := range p.route() {
		t, ok := rs.Table(step.family)
		if !ok {
			continue
		}
		c, ok := t.chain(step.hook, step.device)
		if !ok {
			continue
		}
		last = t.eval(c, p)
		if !last.Verdict.Passes() {
			break
		}
	}
	return last
}

type step struct {
	family Family
	hook   Hook
	device string
}

func (p Packet) route() []step {
	pre := step{Inet, Prerouting, ""}
	egress := step{Netdev, Egress, p.Out}
	return [...][]step{
		FromHost:  {{Inet, Output, ""}, egress},
		ToHost:    {pre, {Inet, Input, ""}},
		Forwarded: {pre, {Inet, Forward, ""}, egress},
		RawFrame:  {egress},
	}[p.Path]
}

func (t Table) eval(c Chain, p Packet) Decision {
	for _, r := range c.Rules {
		if !slices.ContainsFunc(r.Matches, func(m Match) bool { return !t.holds(m, p) }) {
			return Decision{r.Verdict, c.Name, r.ID}
		}
	}
	return Decision{c.Policy, c.Name, ""}
}

func (p Packet) ether() uint16 {
	switch {
	case p.Ether != 0:
		return p.Ether
	case p.Dst.Is6():
		return 0x86dd
	}
	return 0x0800
}

func (p Packet) is(ipv6 bool) bool {
	if ipv6 {
		return p.ether() == 0x86dd
	}
	return p.ether() == 0x0800
}

func (p Packet) hasPorts() bool {
	return p.hasTransport() && (p.Proto == ProtoTCP || p.Proto == ProtoUDP)
}

// hasTransport: an IPv6 fragment that is not the first has none.
func (p Packet) hasTransport() bool { return !(p.Trailing && p.is(true)) }

func (p Packet) end(s Side) (netip.Addr, uint16) {
	if s == Src {
		return p.Src, p.SrcPort
	}
	return p.Dst, p.DstPort
}

func (t Table) holds(m Match, p Packet) bool {
	switch m := m.(type) {
	case Iface:
		name := p.Out
		if m.Dir == Incoming {
			name = p.In
		}
		return (name == m.Name) != m.Not
	case EtherType:
		return p.ether() == m.Value
	case L4:
		return slices.Contains(m.Protos, p.Proto)
	case Addr:
		a, _ := p.end(m.Side)
		return p.is(m.ipv6()) && within(m.Prefixes, a)
	case AddrSet:
		a, _ := p.end(m.Side)
		return p.is(m.IPv6) && slices.Contains(t.set(m.Set).Addrs, a)
	case Tuple:
		a, port := p.end(m.Side)
		return p.is(m.IPv6) && p.hasPorts() && slices.ContainsFunc(t.set(m.Set).Endpoints, func(e endpoint.Endpoint) bool {
			return e.Addr == netip.AddrPortFrom(a, port) && ProtoNumber(e.Proto) == p.Proto
		})
	case Port:
		_, port := p.end(m.Side)
		return p.hasPorts() && slices.ContainsFunc(m.Ranges, func(r PortRange) bool { return r.First <= port && port <= r.Last })
	case SKUID:
		return p.Socket && p.UID == m.UID
	case FwMark:
		return p.Mark&m.Mask == m.Value
	case SocketCgroup:
		return p.Socket && p.Cgroup == m.Cgroup.ID
	case CT:
		return slices.Contains(m.States, p.State) && (!m.Reply || p.Reply)
	case FIB:
		return p.answers(m.Question)
	case ICMP:
		proto := ProtoICMP
		if m.IPv6 {
			proto = ProtoICMPv6
		}
		return p.Proto == proto && p.hasTransport() && slices.Contains(m.Types, p.Type) && (m.AnyCode || p.Code == 0)
	case NDForm:
		return p.is(true) && !p.Trailing && p.HopLimit == 255 && (m.AnyLength || p.Length <= NDMaxLength) &&
			(!m.Target.IsValid() || m.Target.Contains(p.NDTarget))
	case DHCPForm:
		return p.is(false) && !p.Trailing && p.DHCPOp == m.Op
	case ARPForm:
		return p.ARPForm
	case ARPSender:
		return slices.Contains(m.Addrs, p.ARPFrom)
	case ARPTarget:
		return within(m.Prefixes, p.ARPTo)
	case TCPMidstream:
		return p.Proto == ProtoTCP && p.hasTransport() && p.Midstream
	case TrailingFragment:
		return p.is(m.IPv6) && p.Trailing
	}
	panic(fmt.Sprintf("rules: cannot evaluate %T", m))
}

func within(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (p Packet) answers(q Question) bool {
	return [...]bool{
		SourceUnreachableByIface: !p.SrcReachableByIn,
		DestinationLocal:         p.DstLocal,
		DestinationNotOnIface:    !p.DstOnIn,
		DestinationOnIface:       p.DstOnIn,
		SourceOnOutIface:         p.SrcOnOut,
	}[q]
}

func (t Table) set(name string) Set {
	for _, s := range t.Sets {
		if s.Name == name {
			return s
		}
	}
	return Set{}
}
