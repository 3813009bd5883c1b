package probe

import (
	"encoding/binary"
	"net/netip"
)

// packet4 builds an IPv4 packet; options must be padded, offset is in bytes.
type packet4 struct {
	from, to netip.Addr
	proto    uint8
	id       uint16
	more     bool
	offset   int
	options  []byte
}

func (p packet4) bytes(payload []byte) []byte {
	head := 20 + len(p.options)
	b := make([]byte, head, head+len(payload))
	b[0] = 4<<4 | byte(head/4)
	binary.BigEndian.PutUint16(b[2:], uint16(head+len(payload)))
	binary.BigEndian.PutUint16(b[4:], p.id)
	binary.BigEndian.PutUint16(b[6:], uint16(p.offset/8))
	if p.more {
		b[6] |= 0x20
	}
	b[8], b[9] = 64, p.proto
	from, to := p.from.As4(), p.to.As4()
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	copy(b[20:], p.options)
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, payload...)
}

func packet6(from, to netip.Addr, next, hops uint8, payload []byte) []byte {
	b := make([]byte, 40, 40+len(payload))
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b[6], b[7] = next, hops
	copy(b[8:], from.AsSlice())
	copy(b[24:], to.AsSlice())
	return append(b, payload...)
}

// pseudo is the header that transport checksums include.
func pseudo(from, to netip.Addr, proto uint8, length int) []byte {
	b := append(from.AsSlice(), to.AsSlice()...)
	if from.Is4() {
		return append(b, 0, proto, byte(length>>8), byte(length))
	}
	return append(b, 0, 0, byte(length>>8), byte(length), 0, 0, 0, proto)
}

func segmentUDP(from, to netip.AddrPort, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	b = append(append(b, 0, 0), payload...)
	sum := checksum(pseudo(from.Addr(), to.Addr(), 17, len(b)), b)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[6:], sum)
	return b
}

// TCP flags.
const (
	tcpSYN = 0x02
	tcpACK = 0x10
)

func segmentTCP(from, to netip.AddrPort, flags byte, seq uint32) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], 1)
	b[12], b[13] = 5<<4, flags
	binary.BigEndian.PutUint16(b[14:], 1024)
	binary.BigEndian.PutUint16(b[16:], checksum(pseudo(from.Addr(), to.Addr(), 6, len(b)), b))
	return b
}

// icmp builds an ICMP message, an ICMPv6 one if from is IPv6.
func icmp(from, to netip.Addr, kind, code byte, body []byte) []byte {
	b := append([]byte{kind, code, 0, 0}, body...)
	sum := checksum(b)
	if from.Is6() {
		sum = checksum(pseudo(from, to, 58, len(b)), b)
	}
	binary.BigEndian.PutUint16(b[2:], sum)
	return b
}

func ethernet(dst, src [6]byte, kind uint16, payload []byte) []byte {
	b := append(append([]byte(nil), dst[:]...), src[:]...)
	b = append(binary.BigEndian.AppendUint16(b, kind), payload...)
	for len(b) < 60 {
		b = append(b, 0)
	}
	return b
}

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

func requestARP(src [6]byte, sender, target netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	b = append(append(b, src[:]...), sender.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
}

// inPacket packs an IP packet for the family of addr.
func inPacket(from, to netip.Addr, proto uint8, payload []byte) (kind uint16, packet []byte) {
	if from.Is4() {
		return etherIPv4, packet4{from: from, to: to, proto: proto, id: 0x7667}.bytes(payload)
	}
	return etherIPv6, packet6(from, to, proto, 64, payload)
}
