package route

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Policy is everything that a plan depends on.
type Policy struct {
	Table    uint32   // the first of those that are used, two and one for each tunnel
	Tunnels  []Tunnel // the first that is full is preferred
	Carriers []Carrier
	Wires    []Wire
	// Exempt are the prefixes of neighbours that see the main table: the packet
	// filter says which of them may be reached.
	Exempt   []netip.Prefix
	Services []Service // inbound ones, whose answers see the main table
	Main     []Route   // the main table
}

// Tunnel is one session's device.
type Tunnel struct {
	Name  string
	Index int
	Up    bool // else no route can lead there, and what belongs there goes nowhere
	Full  bool // else only Prefixes belong in it
	// Gateways are its next hops; only a device with neighbours (tap) needs them.
	Gateways  []netip.Addr
	Ethernet  bool
	Addresses []netip.Addr
	Prefixes  []netip.Prefix
}

// Carrier is who may send to the endpoints past the tunnels. An owner without a
// uid and a mark is anybody: the packet filter says who.
type Carrier struct {
	UIDs       []uint32
	Mark, Mask uint32
	Endpoints  []endpoint.Endpoint
	Avoid      []int // indexes of the devices that would lead it into itself
}

// Wire is a link that carriers leave by.
type Wire struct {
	Name      string
	Addresses []netip.Addr
}

// Service is an inbound service.
type Service struct {
	Proto       endpoint.Proto
	First, Last uint16
}

// Make plans. A family in which no tunnel has anything is not steered: nothing
// of it can get through, and the packet filter refuses it with a better error.
func Make(p Policy) Plan {
	var plan Plan
	for _, ipv6 := range []bool{false, true} {
		m := maker{Policy: p, ipv6: ipv6}
		m.make()
		plan.Rules = append(plan.Rules, m.rules...)
		plan.Routes = append(plan.Routes, m.routes...)
	}
	return plan
}

// maker plans for one family.
type maker struct {
	Policy
	ipv6   bool
	rules  []Rule
	routes []Route
}

func (m *maker) make() {
	m.inside()
	full := m.outside()
	if len(m.routes) == 0 {
		return
	}
	for _, c := range m.Carriers {
		m.carrier(c, full)
	}
	m.rule(Rule{Priority: priorityInside, Table: m.Table + 1})
	if full {
		m.exceptions()
		m.rule(Rule{Priority: priorityEnd, Table: m.Table + 2})
	}
	slices.SortStableFunc(m.rules, func(a, b Rule) int { return int(a.Priority) - int(b.Priority) })
	m.rules = slices.Compact(m.rules)
}

func (m *maker) rule(r Rule) {
	r.IPv6 = m.ipv6
	if !slices.Contains(m.rules, r) {
		m.rules = append(m.rules, r)
	}
}

func (m *maker) route(r Route) {
	if !slices.ContainsFunc(m.routes, func(o Route) bool { return o.Table == r.Table && o.Dst == r.Dst && o.Metric == r.Metric }) {
		m.routes = append(m.routes, r)
	}
}

// mine reports whether the address is of the family.
func (m *maker) mine(a netip.Addr) bool { return a.IsValid() && a.Is6() == m.ipv6 }

func (m *maker) everything() netip.Prefix {
	if m.ipv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// inside routes the tunnels' own prefixes. One that holds a whole prefix of
// neighbours does not beat it: the longer prefix would not let it either.
func (m *maker) inside() {
	for _, t := range m.Tunnels {
		for _, p := range t.Prefixes {
			p = p.Masked()
			wider := slices.ContainsFunc(m.Exempt, func(x netip.Prefix) bool { return x.Bits() > p.Bits() && p.Contains(x.Addr()) })
			if !m.mine(p.Addr()) || p.Bits() == 0 || t.Full && wider {
				continue
			}
			m.into(t, Route{Table: m.Table + 1, Dst: p, Metric: insideMetric})
			m.nowhere(m.Table+1, p)
		}
	}
}

// outside routes all that no exception is made for. It reports whether there is
// a full tunnel in this family.
func (m *maker) outside() (full bool) {
	for i, t := range m.Tunnels {
		if !t.Full || !slices.ContainsFunc(t.Addresses, m.mine) {
			continue
		}
		full = true
		m.into(t, Route{Table: m.Table + 2, Dst: m.everything(), Metric: insideMetric + uint32(i)})
		if own := m.own(i); own != m.Table+2 {
			m.into(t, Route{Table: own, Dst: m.everything(), Metric: insideMetric})
			m.nowhere(own, m.everything())
		}
	}
	if full {
		m.nowhere(m.Table+2, m.everything())
	}
	return full
}

// own is the table for what has an address of the tunnel: what came by it must
// go back by it, whichever tunnel is preferred.
func (m *maker) own(i int) uint32 { return m.Table + 2 + uint32(i) }

// insideMetric is written out because 0 means 1024 in IPv6.
const insideMetric = 1

// into routes by a tunnel, if it can be routed by.
func (m *maker) into(t Tunnel, r Route) {
	r.Dev, r.Name, r.Type = t.Index, t.Name, unix.RTN_UNICAST
	if t.Ethernet {
		i := slices.IndexFunc(t.Gateways, m.mine)
		if i < 0 {
			return
		}
		r.Gateway, r.Onlink = t.Gateways[i], true
	}
	if t.Up {
		m.route(r)
	}
}

// nowhere is where packets go when the tunnel is gone: an error at once.
func (m *maker) nowhere(table uint32, dst netip.Prefix) {
	m.route(Route{Table: table, Dst: dst, Metric: lastMetric, Type: unix.RTN_BLACKHOLE})
}

// carrier lets the owner's packets, and the look at the way back of the answers,
// see the way past the tunnels: first a copy of that way, for the client's own
// routes may hide it, then the main table, for the copy may be out of date. Of that
// one those routes count that are longer than the client's own. While there is
// neither, the owner's packets go no further: they would go round in the tunnel.
func (m *maker) carrier(c Carrier, full bool) {
	for _, e := range c.Endpoints {
		addr := e.Addr.Addr()
		if !m.mine(addr) {
			continue
		}
		if way, ok := Way(m.Main, addr, c.Avoid); ok {
			way.Table, way.Dst, way.Metric = m.Table, netip.PrefixFrom(addr, addr.BitLen()), insideMetric
			m.route(way)
		}
		to := Rule{To: netip.PrefixFrom(addr, addr.BitLen()), Local: true, Proto: number(e.Proto)}
		port := Ports{e.Addr.Port(), e.Addr.Port()}
		sent := to
		sent.Dport, sent.Mark, sent.Mask = port, c.Mark, c.Mask
		rules := []Rule{}
		for _, uid := range c.UIDs {
			r := sent
			r.ByUID, r.UID = true, uid
			rules = append(rules, r)
		}
		if len(c.UIDs) == 0 {
			rules = append(rules, sent)
		}
		// The reverse path is looked up with uid 0 and without a mark, and with the
		// ports turned round or, by older kernels, as they are in the answer.
		back, turned := to, to
		turned.Dport, turned.ByUID = port, true
		back.Sport = port
		for _, r := range append(rules, turned, back) {
			r.Priority, r.Table = priorityCarrier, m.Table
			m.rule(r)
			if r.Longer = longer(m.Main, addr, c.Avoid); int(r.Longer) <= addr.BitLen() {
				r.Priority, r.Table = priorityMain, tableMain
				m.rule(r)
			}
		}
		for _, r := range rules {
			if table, ok := m.beyond(c, addr, full); ok {
				r.Priority, r.Table = priorityNowhere, table
				m.rule(r)
			}
		}
	}
}

// beyond is where a carrier without a way goes instead of going on: into another
// tunnel that it may be inside, and nowhere (0) otherwise. Where nothing behind leads
// into a tunnel it goes on, for others have rules too; and of another tunnel that has
// the server among its prefixes the rules behind know.
func (m *maker) beyond(c Carrier, addr netip.Addr, full bool) (table uint32, ok bool) {
	holds := func(t Tunnel) bool {
		return slices.ContainsFunc(t.Prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
	}
	if !full && !slices.ContainsFunc(m.Tunnels, holds) {
		return 0, false
	}
	for i, t := range m.Tunnels {
		if t.Index == 0 || slices.Contains(c.Avoid, t.Index) {
			continue
		}
		if holds(t) {
			return 0, false
		}
		if t.Full && slices.ContainsFunc(t.Addresses, m.mine) {
			return m.own(i), true
		}
	}
	return 0, true
}

// longer is how many bits a prefix has at least that hides the avoided links'
// routes to addr; 0: there are none.
func longer(main []Route, addr netip.Addr, avoid []int) (bits uint8) {
	for _, r := range main {
		if slices.Contains(avoid, r.Dev) && r.Dst.Contains(addr) {
			bits = max(bits, uint8(r.Dst.Bits())+1)
		}
	}
	return bits
}

// Ports and prefixes of link upkeep: DHCP (RFC 2131), DHCPv6 (RFC 8415).
var (
	dhcpClient, dhcpServer     = Ports{68, 68}, Ports{67, 67}
	dhcpv6Client, dhcpv6Server = Ports{546, 546}, Ports{547, 547}
	linkLocal6                 = netip.MustParsePrefix("fe80::/10")
)

// exceptions are what sees the main table. It only decides on ways: whether
// anything may leave there is the packet filter's to say.
func (m *maker) exceptions() {
	for i, t := range m.Tunnels {
		for _, a := range t.Addresses {
			if t.Full && m.mine(a) {
				m.rule(Rule{Priority: priorityTunnel, From: netip.PrefixFrom(a, a.BitLen()), Local: true, Table: m.own(i)})
			}
		}
	}
	main := func(r Rule) {
		r.Priority, r.Table = priorityUpkeep, tableMain
		m.rule(r)
	}
	for _, w := range m.Wires {
		// The answers of services, leases renewed by unicast, the reverse path.
		for _, a := range w.Addresses {
			if m.mine(a) {
				from := Rule{Priority: priorityReply, From: netip.PrefixFrom(a, a.BitLen()), Local: true, Table: m.Table}
				m.rule(from)
				main(from)
			}
		}
		// A socket bound to the wire, and the kernel's look at a new route's gateway.
		main(Rule{Oif: w.Name})
	}
	for _, p := range m.Exempt {
		if m.mine(p.Addr()) {
			main(Rule{To: p})
		}
	}
	upkeep := Rule{Local: true, Proto: unix.IPPROTO_UDP, Sport: dhcpClient, Dport: dhcpServer}
	if m.ipv6 {
		upkeep.Sport, upkeep.Dport = dhcpv6Client, dhcpv6Server
		main(Rule{To: linkLocal6})
	}
	main(upkeep)
	for _, s := range m.Services {
		main(Rule{Local: true, Proto: number(s.Proto), Sport: Ports{s.First, s.Last}})
	}
}

func number(p endpoint.Proto) uint8 {
	if p == endpoint.TCP {
		return unix.IPPROTO_TCP
	}
	return unix.IPPROTO_UDP
}
