package wire

import (
	"encoding/binary"
	"net/netip"
)

// packet is what the explanations need of a frame. Fields of a layer that the
// frame does not have are zero.
type packet struct {
	dst, src  [6]byte
	etherType uint16
	network   []byte // after the Ethernet header

	from, to netip.Addr
	proto    uint8
	hops     uint8 // TTL or hop limit
	// extended is true for IPv4 options and IPv6 extension headers other than
	// a lone fragment header.
	extended bool
	fragment bool   // any piece of a fragmented datagram
	offset   uint16 // of the piece, in bytes
	id       uint32
	payload  []byte // after the IP header, no padding

	srcPort, dstPort uint16 // of UDP and TCP, unless this is a later piece
}

const (
	typeIPv4  = 0x0800
	typeARP   = 0x0806
	typeIPv6  = 0x86dd
	typeEAPOL = 0x888e

	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoFrag   = 44
	protoICMPv6 = 58
)

// parse is false for what is too short or contradicts itself.
func parse(data []byte) (p packet, ok bool) {
	if len(data) < 14 {
		return p, false
	}
	copy(p.dst[:], data)
	copy(p.src[:], data[6:])
	p.etherType = binary.BigEndian.Uint16(data[12:])
	p.network = data[14:]
	switch p.etherType {
	case typeIPv4:
		ok = p.parseIPv4()
	case typeIPv6:
		ok = p.parseIPv6()
	default:
		return p, true
	}
	if ok && p.offset == 0 && (p.proto == protoTCP || p.proto == protoUDP) {
		if len(p.payload) < 8 {
			return p, false
		}
		p.srcPort = binary.BigEndian.Uint16(p.payload)
		p.dstPort = binary.BigEndian.Uint16(p.payload[2:])
	}
	return p, ok
}

func (p *packet) parseIPv4() bool {
	b := p.network
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total < header || len(b) < total {
		return false
	}
	p.extended = header > 20
	p.id = uint32(binary.BigEndian.Uint16(b[4:]))
	flags := binary.BigEndian.Uint16(b[6:])
	p.offset = flags & 0x1fff * 8
	p.fragment = flags&0x3fff != 0 // more fragments, or an offset
	p.hops, p.proto = b[8], b[9]
	p.from, _ = netip.AddrFromSlice(b[12:16])
	p.to, _ = netip.AddrFromSlice(b[16:20])
	p.payload = b[header:total]
	return true
}

func (p *packet) parseIPv6() bool {
	b := p.network
	if len(b) < 40 || b[0]>>4 != 6 {
		return false
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if len(b) < 40+length {
		return false
	}
	p.proto, p.hops = b[6], b[7]
	p.from, _ = netip.AddrFromSlice(b[8:24])
	p.to, _ = netip.AddrFromSlice(b[24:40])
	p.payload = b[40 : 40+length]
	if p.proto == protoFrag {
		if length < 8 {
			return false
		}
		f := p.payload
		p.fragment = true
		p.offset = binary.BigEndian.Uint16(f[2:]) & 0xfff8
		p.id = binary.BigEndian.Uint32(f[4:])
		p.proto, p.payload = f[0], f[8:]
	}
	switch p.proto {
	case 0, 43, 44, 60, 135, 139, 140: // hop-by-hop, routing, fragment, destination options, mobility, HIP, shim6
		p.extended = true
	}
	return true
}
