package rules

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

// upkeepOut is what keeps the link alive, outwards. Multicast listener
// reports are not part of it: they tell the LAN what the host listens to.
func upkeepOut() []Rule {
	return []Rule{
		{"out-dhcp", "the wire's own address is leased", []Match{
			L4{[]uint8{ProtoUDP}}, port(Src, portDHCPClient), port(Dst, portDHCPServer), DHCPForm{bootRequest}}, Accept},
		{"out-dhcpv6", "the same for IPv6, to all servers on the link", []Match{
			Addr{Src, []prefix{linkLocal6}}, Addr{Dst, []prefix{dhcpv6Servers}},
			L4{[]uint8{ProtoUDP}}, port(Src, portDHCPv6Client), port(Dst, portDHCPv6Server)}, Accept},
		{"out-nd", "without neighbour discovery no carrier over IPv6", []Match{
			ICMP{IPv6: true, Types: []uint8{icmpv6RouterSolicit, icmpv6NeighbourSolicit, icmpv6NeighbourAdvert}}, NDForm{}}, Accept},
	}
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
