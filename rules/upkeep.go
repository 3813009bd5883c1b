package rules

import "slices"

// Ports and message types of link upkeep.
const (
	portDHCPServer   = 67  // RFC 2131
	portDHCPClient   = 68  //
	portDHCPv6Client = 546 // RFC 8415
	portDHCPv6Server = 547 //

	icmpv6RouterSolicit    = 133 // RFC 4861
	icmpv6RouterAdvert     = 134
	icmpv6NeighbourSolicit = 135
	icmpv6NeighbourAdvert  = 136
	bootRequest            = 1 // RFC 951, field op
	bootReply              = 2
	etherARP               = 0x0806
	etherEAPOL             = 0x888e // IEEE 802.1X
)

func port(side Side, p uint16) Port { return Port{side, []PortRange{{p, p}}} }

// upkeepOut is what keeps the links alive, outwards. Multicast listener
// reports are not part of it: they tell the LAN what the host listens to. A
// DHCP server is asked by broadcast, or where neighbours or relays are.
func upkeepOut(nd []Rule, wires ...Wire) []Rule {
	servers := []prefix{everybody}
	for _, w := range wires {
		servers = append(servers, w.OnLink...)
	}
	return append([]Rule{
		{"out-dhcp", "the wire's own address is leased", []Match{
			byFamily(Dst, slices.Concat(servers, neverPublic))[0], L4{[]uint8{ProtoUDP}}, port(Src, portDHCPClient), port(Dst, portDHCPServer), DHCPForm{bootRequest}}, Accept},
		{"out-dhcpv6", "the same for IPv6, to all servers on the link", []Match{
			Addr{Src, []prefix{linkLocal6}}, Addr{Dst, []prefix{dhcpv6Servers}},
			L4{[]uint8{ProtoUDP}}, port(Src, portDHCPv6Client), port(Dst, portDHCPv6Server)}, Accept},
	}, nd...)
}

// ndTo is where neighbour discovery goes: to the link, not over it.
func ndTo(wires ...Wire) Addr {
	to := []prefix{linkLocal6, linkMulticast6}
	for _, w := range wires {
		to = append(to, ndTargets(w)...)
	}
	return byFamily(Dst, to)[0]
}

// ndOut is neighbour discovery by the host itself.
func ndOut(wires ...Wire) []Rule {
	return []Rule{{"out-nd", "without neighbour discovery no carrier over IPv6", []Match{
		ndTo(wires...), ICMP{IPv6: true, Types: []uint8{icmpv6RouterSolicit, icmpv6NeighbourSolicit, icmpv6NeighbourAdvert}}, NDForm{}}, Accept}}
}

// ndFence is neighbour discovery by whoever sends: as with ARP, only neighbours
// may be asked for, or the question tells where to.
func ndFence(w Wire) []Rule {
	solicit := ICMP{IPv6: true, Types: []uint8{icmpv6NeighbourSolicit}}
	list := []Rule{
		{"fence-nd", "without neighbour discovery no carrier over IPv6", []Match{
			ndTo(w), ICMP{IPv6: true, Types: []uint8{icmpv6RouterSolicit, icmpv6NeighbourAdvert}}, NDForm{}}, Accept},
		{"fence-nd-own", "an address is taken when nobody else has it (RFC 4862)", []Match{
			ndTo(w), Addr{Src, []prefix{nobody6}}, solicit, NDForm{}}, Accept},
	}
	for _, p := range ndTargets(w) {
		list = append(list, Rule{"fence-nd-" + p.String(), "who asks for a public address tells where to", []Match{
			ndTo(w), solicit, NDForm{Target: p}}, Accept})
	}
	return list
}

// upkeepIn is its answers.
func upkeepIn() []Rule {
	return []Rule{
		{"in-dhcp", "a lease arrives before there is an address or a route", []Match{
			L4{[]uint8{ProtoUDP}}, port(Src, portDHCPServer), port(Dst, portDHCPClient), DHCPForm{bootReply}}, Accept},
		{"in-dhcpv6", "the same for IPv6", []Match{
			Addr{Src, []prefix{linkLocal6}},
			L4{[]uint8{ProtoUDP}}, port(Src, portDHCPv6Server), port(Dst, portDHCPv6Client)}, Accept},
		{"in-nd", "neighbours and routers; redirects are not among them", []Match{
			ICMP{IPv6: true, Types: []uint8{icmpv6RouterAdvert, icmpv6NeighbourSolicit, icmpv6NeighbourAdvert}}, NDForm{AnyLength: true}}, Accept},
	}
}
