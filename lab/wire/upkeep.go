package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// arp takes requests for a neighbour and answers about an own address to one
// (RFC 826), both in the sender's own name.
func (p Policy) arp(k *packet) bool {
	b := k.network
	if k.etherType != typeARP || len(b) < 28 || !bytes.Equal(b[:6], []byte{0, 1, 8, 0, 6, 4}) {
		return false
	}
	if !bytes.Equal(b[8:14], k.src[:]) || !zero(b[28:]) {
		return false
	}
	sender, _ := netip.AddrFromSlice(b[14:18])
	target, _ := netip.AddrFromSlice(b[24:28])
	op := binary.BigEndian.Uint16(b[6:])
	return (op == 1 || op == 2) && slices.Contains(p.Hosts, sender) && slices.Contains(p.Neighbours, target)
}

// zero is true of padding that says nothing.
func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// eapol takes IEEE 802.1X frames to the port access group address.
func eapol(k *packet) bool {
	if k.etherType != typeEAPOL || len(k.network) < 4 || k.dst != [6]byte{1, 0x80, 0xc2, 0, 0, 3} {
		return false
	}
	version, kind, length := k.network[0], k.network[1], int(binary.BigEndian.Uint16(k.network[2:]))
	return version >= 1 && version <= 3 && kind <= 8 && len(k.network) >= 4+length && zero(k.network[4+length:])
}

// dhcp takes a client's messages (RFC 2131): broadcast, or to a neighbour.
func (p Policy) dhcp(k *packet) bool {
	if k.etherType != typeIPv4 || k.extended || k.fragment || k.proto != protoUDP || k.srcPort != 68 || k.dstPort != 67 {
		return false
	}
	if k.from != netip.IPv4Unspecified() && !slices.Contains(p.Hosts, k.from) {
		return false
	}
	if k.to != netip.AddrFrom4([4]byte{255, 255, 255, 255}) && !slices.Contains(p.Neighbours, k.to) {
		return false
	}
	const fixed = 236 // before the magic cookie
	m := k.payload[8:]
	if len(m) < fixed+4 || !bytes.Equal(m[fixed:fixed+4], []byte{99, 130, 83, 99}) {
		return false
	}
	return m[0] == 1 && m[1] == 1 && m[2] == 6 && bytes.Equal(m[28:34], k.src[:]) // a request, by Ethernet, of the sender
}

var dhcpv6Servers = netip.MustParseAddr("ff02::1:2")

// dhcpv6 takes a client's messages (RFC 8415, section 7.3).
func (p Policy) dhcpv6(k *packet) bool {
	if k.etherType != typeIPv6 || k.extended || k.fragment || k.proto != protoUDP || k.srcPort != 546 || k.dstPort != 547 {
		return false
	}
	if !k.from.IsLinkLocalUnicast() || !slices.Contains(p.Hosts, k.from) || k.to != dhcpv6Servers || len(k.payload) < 12 {
		return false
	}
	switch k.payload[8] {
	case 1, 3, 4, 5, 6, 8, 9, 11: // solicit, request, confirm, renew, rebind, release, decline, information-request
		return true
	}
	return false
}

var allRouters = netip.MustParseAddr("ff02::2")

// nd takes router and neighbour solicitations and neighbour advertisements
// (RFC 4861, section 7.1): hop limit 255, code 0, and about nobody but the
// sender itself and its neighbours.
func (p Policy) nd(k *packet) bool {
	if k.etherType != typeIPv6 || k.extended || k.fragment || k.proto != protoICMPv6 || k.hops != 255 {
		return false
	}
	m := k.payload
	if len(m) < 8 || m[1] != 0 {
		return false
	}
	own := slices.Contains(p.Hosts, k.from)
	if m[0] == 133 {
		return k.to == allRouters && (own || k.from.IsUnspecified()) && options(m[8:])
	}
	if len(m) < 24 || !options(m[24:]) {
		return false
	}
	target, _ := netip.AddrFromSlice(m[8:24])
	switch m[0] {
	case 135:
		if k.from.IsUnspecified() { // duplicate address detection
			return k.to == solicited(target) && slices.Contains(p.Hosts, target)
		}
		return own && slices.Contains(p.Neighbours, target) && (k.to == target || k.to == solicited(target))
	case 136:
		return own && slices.Contains(p.Hosts, target)
	}
	return false
}

// options is true of well-formed ND options that only tell a link address: any
// other could carry data.
func options(b []byte) bool {
	for len(b) > 0 {
		if len(b) < 8 || b[1] != 1 || (b[0] != 1 && b[0] != 2) {
			return false
		}
		b = b[8:]
	}
	return true
}

// solicited is the solicited-node group of addr (RFC 4291, section 2.7.1).
func solicited(addr netip.Addr) netip.Addr {
	group := netip.MustParseAddr("ff02::1:ff00:0").As16()
	a := addr.As16()
	copy(group[13:], a[13:])
	return netip.AddrFrom16(group)
}
