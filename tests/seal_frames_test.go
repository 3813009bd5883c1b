package tests

import (
	be "encoding/binary"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/lab/site"
)

// A form is a whole frame of link upkeep, or one that nearly is.
type form struct {
	name  string
	exact bool // link upkeep proper
	frame []byte
}

var (
	broadcastMAC = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allRouters   = netip.MustParseAddr("ff02::2")
	dhcpServers  = netip.MustParseAddr("ff02::1:2")
	nobody       = netip.IPv4Unspecified()
	everybody    = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)

// forms are one exact frame of each kind, and near misses of it.
func forms() []form {
	own, gw := site.ClientLinkLocal, site.GatewayLinkLocal
	ns, na, rs := solicit(gw), advertise(site.Client6), append(make([]byte, 4), option(1)...)
	discover := bootp(1, true)
	return []form{
		{"dhcp", true, udp4(nobody, everybody, 68, 67, discover)},
		{"dhcp by a leased address", true, udp4(site.Client, site.Gateway, 68, 67, discover)},
		{"dhcp to a public address", false, udp4(site.Client, site.Public, 68, 67, discover)},
		{"dhcp with an IP option", false, options(udp4(nobody, everybody, 68, 67, discover))},
		{"dhcp in a first fragment", false, more(udp4(nobody, everybody, 68, 67, discover))},
		{"dhcp reply", false, udp4(nobody, everybody, 68, 67, bootp(2, true))},
		{"dhcp without its cookie", false, udp4(nobody, everybody, 68, 67, bootp(1, false))},
		{"dhcp from another port", false, udp4(nobody, everybody, 69, 67, discover)},
		{"dhcp to another port", false, udp4(nobody, everybody, 68, 68, discover)},
		{"a short datagram on dhcp's ports", false, udp4(site.Client, site.Public, 68, 67, []byte("vpnguard"))},
		{"dhcp by tcp", false, ipv4(nobody, everybody, 6, 0, udp(68, 67, discover))},
		{"a later fragment like dhcp", false, ipv4(nobody, everybody, 17, 100, udp(68, 67, discover))},
		{"dhcp6", true, udp6(own, dhcpServers, 546, 547, solicit6)},
		{"dhcp6 by a global address", false, udp6(site.Client6, dhcpServers, 546, 547, solicit6)},
		{"dhcp6 to one server", false, udp6(own, site.Public6, 546, 547, solicit6)},
		{"dhcp6 to another group", false, udp6(own, netip.MustParseAddr("ff05::1:3"), 546, 547, solicit6)},
		{"dhcp6 as a server", false, udp6(own, dhcpServers, 547, 546, solicit6)},
		{"router solicitation", true, nd(own, allRouters, 133, 0, 255, rs)},
		{"router advertisement", false, nd(own, netip.MustParseAddr("ff02::1"), 134, 0, 255, append(make([]byte, 12), option(1)...))},
		{"neighbour solicitation", true, nd(own, gw, 135, 0, 255, ns)},
		{"neighbour advertisement", true, nd(site.Client6, gw, 136, 0, 255, na)},
		{"neighbour solicitation for a public address", false, nd(own, gw, 135, 0, 255, solicit(site.Public6))},
		{"neighbour solicitation for the tunnel's address", false, nd(tunnelAddr6, gw, 135, 0, 255, solicit(site.Public6))},
		{"a later fragment like a neighbour solicitation", false, fragment6(nd(own, gw, 135, 0, 255, ns))},
		{"redirect", false, nd(own, gw, 137, 0, 255, append(ns, site.Public6.AsSlice()...))},
		{"neighbour solicitation with a hop behind it", false, nd(own, gw, 135, 0, 254, ns)},
		{"neighbour solicitation with a code", false, nd(own, gw, 135, 1, 255, ns)},
		{"neighbour solicitation with freight", false, nd(own, gw, 135, 0, 255, append(slices.Clone(ns), make([]byte, 64)...))},
		{"echo with hop limit 255", false, nd(own, gw, 128, 0, 255, ns)},
		{"listener report", false, nd(own, netip.MustParseAddr("ff02::16"), 143, 0, 255, ns)},
		{"arp request", true, arp(1, site.Client, site.Gateway)},
		{"arp reply", true, arp(2, site.Client, site.Gateway)},
		{"arp for a public address", false, arp(1, site.Client, site.Public)},
		{"arp in the tunnel address's name", false, arp(1, tunnelAddr, site.Gateway)},
		{"reverse arp request", false, arp(3, site.Client, site.Gateway)},
		{"arp with freight", false, append(arp(1, site.Client, site.Gateway), []byte("vpnguard")...)},
	}
}

func ethernet(dst [6]byte, kind uint16, payload []byte) []byte {
	src := site.MAC(site.ClientMAC)
	return append(be.BigEndian.AppendUint16(slices.Concat(dst[:], src[:]), kind), payload...)
}

// towards is the link address of a packet to addr.
func towards(addr netip.Addr) [6]byte {
	switch {
	case addr == everybody:
		return broadcastMAC
	case addr.Is6() && addr.IsMulticast():
		a := addr.As16()
		return [6]byte{0x33, 0x33, a[12], a[13], a[14], a[15]}
	}
	return site.MAC(site.GatewayMAC)
}

// ipv4 is a frame; offset is in bytes.
func ipv4(from, to netip.Addr, proto uint8, offset int, payload []byte) []byte {
	b := make([]byte, 20)
	b[0], b[8], b[9] = 0x45, 64, proto
	be.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	be.BigEndian.PutUint16(b[6:], uint16(offset/8))
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.AsSlice())
	be.BigEndian.PutUint16(b[10:], internetSum(b))
	return ethernet(towards(to), 0x0800, append(b, payload...))
}

// more turns a frame of IPv4 into one of which more pieces follow.
func more(frame []byte) []byte {
	frame[14+6] |= 0x20
	return resum(frame)
}

// options puts four no-operations into the IPv4 header of a frame.
func options(frame []byte) []byte {
	frame = slices.Insert(frame, 14+20, 1, 1, 1, 1)
	frame[14]++
	be.BigEndian.PutUint16(frame[14+2:], uint16(len(frame)-14))
	return resum(frame)
}

func resum(frame []byte) []byte {
	head := frame[14 : 14+4*int(frame[14]&15)]
	head[10], head[11] = 0, 0
	be.BigEndian.PutUint16(head[10:], internetSum(head))
	return frame
}

// fragment6 puts a later fragment's header before what an IPv6 frame carries.
func fragment6(frame []byte) []byte {
	frame = slices.Insert(frame, 14+40, frame[14+6], 0, 0, 8<<3, 'v', 'p', 'n', 'g')
	frame[14+6] = 44
	be.BigEndian.PutUint16(frame[14+4:], uint16(len(frame)-14-40))
	return frame
}

func ipv6(from, to netip.Addr, next, hops uint8, payload []byte) []byte {
	b := make([]byte, 8)
	b[0], b[6], b[7] = 0x60, next, hops
	be.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	return ethernet(towards(to), 0x86dd, slices.Concat(b, from.AsSlice(), to.AsSlice(), payload))
}

// udp has no checksum: nobody on the way looks at it.
func udp(from, to uint16, payload []byte) []byte {
	b := be.BigEndian.AppendUint16(be.BigEndian.AppendUint16(nil, from), to)
	return append(append(be.BigEndian.AppendUint16(b, uint16(8+len(payload))), 0, 0), payload...)
}

func udp4(from, to netip.Addr, sport, dport uint16, payload []byte) []byte {
	return ipv4(from, to, 17, 0, udp(sport, dport, payload))
}

func udp6(from, to netip.Addr, sport, dport uint16, payload []byte) []byte {
	return ipv6(from, to, 17, 1, udp(sport, dport, payload))
}

// bootp is a BOOTP message with DHCP's discover in it (RFC 2131, section 2).
func bootp(op byte, cookie bool) []byte {
	b := make([]byte, 236)
	mac := site.MAC(site.ClientMAC)
	b[0], b[1], b[2] = op, 1, 6
	copy(b[28:], mac[:])
	if !cookie {
		return append(b, 0, 0, 0, 0, 53, 1, 1, 255)
	}
	return append(b, 99, 130, 83, 99, 53, 1, 1, 255)
}

// solicit6 is DHCPv6's solicit with a client identifier (RFC 8415, section 8).
var solicit6 = []byte{1, 'v', 'p', 'n', 0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 1, 0x65}

// nd is an ICMPv6 message with body behind its checksum.
func nd(from, to netip.Addr, kind, code, hops uint8, body []byte) []byte {
	m := append([]byte{kind, code, 0, 0}, body...)
	pseudo := slices.Concat(from.AsSlice(), to.AsSlice(), []byte{0, 0, byte(len(m) >> 8), byte(len(m)), 0, 0, 0, 58}, m)
	be.BigEndian.PutUint16(m[2:], internetSum(pseudo))
	return ipv6(from, to, 58, hops, m)
}

// solicit and advertise are the bodies about a target (RFC 4861, section 4).
func solicit(target netip.Addr) []byte {
	return slices.Concat(make([]byte, 4), target.AsSlice(), option(1))
}

func advertise(target netip.Addr) []byte {
	return slices.Concat([]byte{0x60, 0, 0, 0}, target.AsSlice(), option(2))
}

// option tells the client's link address.
func option(kind byte) []byte {
	mac := site.MAC(site.ClientMAC)
	return append([]byte{kind, 1}, mac[:]...)
}

func arp(op uint16, sender, target netip.Addr) []byte {
	mac := site.MAC(site.ClientMAC)
	b := be.BigEndian.AppendUint16([]byte{0, 1, 8, 0, 6, 4}, op)
	return ethernet(broadcastMAC, 0x0806, slices.Concat(b, mac[:], sender.AsSlice(), make([]byte, 6), target.AsSlice()))
}

// internetSum is the checksum of RFC 1071.
func internetSum(b []byte) uint16 {
	var sum uint32
	for i, x := range b {
		sum += uint32(x) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
