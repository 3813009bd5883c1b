package blocked

import (
	"encoding/binary"
	"net/netip"
)

// Header sizes in bytes.
const (
	etherSize = 14
	vlanSize  = 4
	ipv4Size  = 20
	ipv6Size  = 40
	arpSize   = 28 // Ethernet and IPv4
)

// maxHeaders bounds the walk over IPv6 extension headers.
const maxHeaders = 8

// packet reads addresses, protocol and ports of as much as is there. At the
// egress hook the packet still has its link header, if the link has one.
func (m *message) packet(b []byte, link bool) {
	if link {
		b = m.withoutLink(b)
	}
	switch m.EtherType {
	case etherIPv4:
		m.ipv4(b)
	case etherIPv6:
		m.ipv6(b)
	case etherARP:
		m.arp(b)
	}
}

// withoutLink cuts an Ethernet header off, which is one if it names the
// protocol that the kernel names; a tunnel as a wire has none.
func (m *message) withoutLink(b []byte) []byte {
	if len(b) < etherSize {
		return b
	}
	switch kind := binary.BigEndian.Uint16(b[12:]); {
	case kind == m.EtherType && kind != etherVLAN:
		return b[etherSize:]
	case kind == etherVLAN && len(b) >= etherSize+vlanSize:
		m.EtherType = binary.BigEndian.Uint16(b[16:])
		return b[etherSize+vlanSize:]
	}
	return b
}

func (m *message) ipv4(b []byte) {
	if len(b) < ipv4Size || b[0]>>4 != 4 {
		return
	}
	m.Src, m.Dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
	m.Proto = b[9]
	header := int(b[0]&0xf) * 4
	if later := binary.BigEndian.Uint16(b[6:])&0x1fff != 0; later || header < ipv4Size || header > len(b) {
		return
	}
	m.transport(b[header:])
}

func (m *message) ipv6(b []byte) {
	if len(b) < ipv6Size || b[0]>>4 != 6 {
		return
	}
	m.Src, m.Dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	next := b[6]
	b = b[ipv6Size:]
	for range maxHeaders {
		m.Proto = next
		if len(b) < 8 {
			return
		}
		size := 0
		switch next {
		case 0, 43, 60, 135: // hop-by-hop, routing, destination options, mobility (RFC 8200, 6275)
			size = 8 + int(b[1])*8
		case 51: // authentication, in units of four (RFC 4302)
			size = 8 + int(b[1])*4
		case 44: // fragment
			size = 8
			if binary.BigEndian.Uint16(b[2:])&0xfff8 != 0 {
				m.Proto = b[0]
				return
			}
		default:
			m.transport(b)
			return
		}
		if size > len(b) {
			return
		}
		next, b = b[0], b[size:]
	}
}

func (m *message) transport(b []byte) {
	switch m.Proto {
	case protoTCP, protoUDP, protoDCCP, protoSCTP, protoUDPLite:
		if len(b) >= 4 {
			m.SrcPort, m.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		}
	case protoICMP, protoICMPv6:
		const request, request6 = 8, 128 // echo (RFC 792, RFC 4443)
		if len(b) >= 8 && (b[0] == request || b[0] == request6) {
			m.echo = binary.BigEndian.Uint16(b[4:])
		}
	}
}

func (m *message) arp(b []byte) {
	if len(b) < arpSize || binary.BigEndian.Uint16(b[2:]) != etherIPv4 || b[4] != 6 || b[5] != 4 {
		return
	}
	m.Src, m.Dst = netip.AddrFrom4([4]byte(b[14:])), netip.AddrFrom4([4]byte(b[24:]))
}
