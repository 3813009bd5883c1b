package fit

import (
	"encoding/binary"

	"github.com/vpnguard/vpnguard/tunnel/gso"
)

// Least is the smallest MTU that IPv6 knows (RFC 8200, 5): no sender goes below.
const Least = 1280

// TooBig writes to dst what a router tells the sender of a packet that is
// longer than mtu (RFC 1191, RFC 4443 3.2), as if the packet's destination had
// said it: whoever sent it knows a way from there. It is nil for what must not
// be answered: errors, later fragments, senders and destinations that are many.
func TooBig(dst, p []byte, mtu int) []byte {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		return tooBig4(dst, p, mtu)
	case len(p) >= 40 && p[0]>>4 == 6:
		return tooBig6(dst, p, mtu)
	}
	return nil
}

func tooBig4(dst, p []byte, mtu int) []byte {
	head := int(p[0]&15) * 4
	if head < 20 || len(p) < head+8 || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 || p[16] >= 224 || p[12] >= 224 || p[12] == 0 || p[12] == 127 {
		return nil
	}
	if p[9] == protoICMP && p[head] != 8 && p[head] != 0 { // only echoes are no errors for sure
		return nil
	}
	quoted := p[:min(len(p), 548)] // RFC 1812, 4.3.2.3: 576 bytes in all
	b := append(dst[:0], make([]byte, 28)...)
	b[0], b[8], b[9] = 0x45, 64, protoICMP
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(quoted)))
	copy(b[12:], p[16:20])
	copy(b[16:], p[12:16])
	sum := gso.Checksum(b[:20], 0)
	copy(b[10:], sum[:])
	b[20], b[21] = 3, 4
	binary.BigEndian.PutUint16(b[26:], uint16(min(mtu, 65535)))
	b = append(b, quoted...)
	sum = gso.Checksum(b[20:], 0)
	copy(b[22:], sum[:])
	return b
}

func tooBig6(dst, p []byte, mtu int) []byte {
	if p[8] == 0xff || p[24] == 0xff {
		return nil
	}
	if p[6] == protoICMPv6 && (len(p) < 41 || p[40] < 128) {
		return nil
	}
	quoted := p[:min(len(p), Least-48)]
	b := append(dst[:0], make([]byte, 48)...)
	b[0], b[6], b[7] = 0x60, protoICMPv6, 64
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(quoted)))
	copy(b[8:], p[24:40])
	copy(b[24:], p[8:24])
	b[40] = 2
	binary.BigEndian.PutUint32(b[44:], uint32(max(mtu, Least)))
	b = append(b, quoted...)
	sum := gso.Checksum(b[40:], gso.Pseudo(b, protoICMPv6, len(b)-40))
	copy(b[42:], sum[:])
	return b
}
