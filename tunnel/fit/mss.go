// Package fit makes inner packets fit a path that is narrower than whoever sent
// them knew: it lowers the segment size that TCP agrees upon, tells senders what
// fits, and fragments what may be fragmented. It is pure.
package fit

import (
	"encoding/binary"
	"math/bits"
)

const (
	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58

	tcpSYN = 0x02
	optEnd = 0
	optNop = 1
	optMSS = 2
)

// Clamp lowers the maximum segment size of a TCP packet that opens a
// connection, so that the segments fit packets of limit bytes. It works in
// place; other packets stay as they are, and none is made larger.
func Clamp(p []byte, limit int) {
	var start int
	switch {
	case len(p) >= 40 && p[0]>>4 == 4 && p[9] == protoTCP && binary.BigEndian.Uint16(p[6:])&0x1fff == 0:
		start = int(p[0]&15) * 4
	case len(p) >= 60 && p[0]>>4 == 6 && p[6] == protoTCP:
		start = 40
	default:
		return
	}
	if start < 20 || start+20 > len(p) || p[start+13]&tcpSYN == 0 {
		return
	}
	tcp := p[start:]
	head := int(tcp[12]>>4) * 4
	if head < 20 || head > len(tcp) {
		return
	}
	// Headers without options, as the size is defined (RFC 6691). With options
	// TCP itself takes off what they need.
	most := max(limit-start-20, 0)
	if p[0]>>4 == 4 {
		most = max(limit-40, 0)
	}
	for o := tcp[20:head]; len(o) > 0; {
		switch {
		case o[0] == optEnd:
			return
		case o[0] == optNop:
			o = o[1:]
			continue
		case len(o) < 2 || o[1] < 2 || int(o[1]) > len(o):
			return
		}
		if o[0] == optMSS && o[1] == 4 {
			if old := binary.BigEndian.Uint16(o[2:]); int(old) > most {
				at := head - len(o) + 2
				binary.BigEndian.PutUint16(o[2:], uint16(most))
				replace(tcp[16:], old, uint16(most), at%2 == 1)
			}
			return
		}
		o = o[o[1]:]
	}
}

// replace changes a checksum for a word that was changed (RFC 1624, eqn. 3).
// odd is for a word that lies across two of the sum's.
func replace(checksum []byte, old, new uint16, odd bool) {
	if odd {
		old, new = bits.ReverseBytes16(old), bits.ReverseBytes16(new)
	}
	s := uint32(^binary.BigEndian.Uint16(checksum)) + uint32(^old) + uint32(new)
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	binary.BigEndian.PutUint16(checksum, ^uint16(s))
}
