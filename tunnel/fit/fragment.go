package fit

import (
	"encoding/binary"

	"github.com/vpnguard/vpnguard/tunnel/gso"
)

// Fragment divides a packet into fragments of at most limit bytes and hands
// each over; buf is room for one. It reports false, and does nothing, for what
// may not be fragmented: IPv4 whose sender forbids it (RFC 791), and IPv6 of
// more than [Least] bytes.
//
// IPv6 promises that Least bytes pass, and senders never go below, so what is
// below has to fragment (RFC 8200, 5). It is done with the inner packet, where
// its destination puts it together: every peer can do that, and no packet
// outside is ever a fragment. id is the number of an IPv6 packet.
func Fragment(buf, p []byte, limit int, id uint32, emit func([]byte)) bool {
	switch {
	case len(p) > 20 && p[0]>>4 == 4:
		return fragment4(buf, p, limit, emit)
	case len(p) > 40 && len(p) <= Least && p[0]>>4 == 6:
		return fragment6(buf, p, limit, id, emit)
	}
	return false
}

func fragment4(buf, p []byte, limit int, emit func([]byte)) bool {
	// Some options belong into the first fragment only; with any, it is refused
	// as it is nearly everywhere.
	const head = 20
	if p[0] != 0x45 || p[6]&0x40 != 0 || limit < head+8 {
		return false
	}
	field := binary.BigEndian.Uint16(p[6:])
	at, more := field&0x1fff, field&0x2000
	divide(p[head:], limit-head, func(body []byte, offset int, last bool) {
		b := append(append(buf[:0], p[:head]...), body...)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		flags := at + uint16(offset/8) | more
		if !last {
			flags |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], flags)
		b[10], b[11] = 0, 0
		sum := gso.Checksum(b[:head], 0)
		copy(b[10:], sum[:])
		emit(b)
	})
	return true
}

func fragment6(buf, p []byte, limit int, id uint32, emit func([]byte)) bool {
	const head, header, protoFragment = 40, 8, 44
	next, body := p[6], p[head:]
	var at, more uint16
	switch next {
	case 0, 43, 51, 60: // headers that belong before, or that would be broken
		return false
	case protoFragment: // its sender did the same
		if len(body) <= header {
			return false
		}
		field := binary.BigEndian.Uint16(body[2:])
		next, at, more, id = body[0], field&^7, field&1, binary.BigEndian.Uint32(body[4:])
		body = body[header:]
	}
	if limit < head+header+8 {
		return false
	}
	divide(body, limit-head-header, func(body []byte, offset int, last bool) {
		b := append(buf[:0], p[:head]...)
		b[6] = protoFragment
		field := at + uint16(offset) | more
		if !last {
			field |= 1
		}
		b = append(b, next, 0, byte(field>>8), byte(field))
		b = binary.BigEndian.AppendUint32(b, id)
		b = append(b, body...)
		binary.BigEndian.PutUint16(b[4:], uint16(len(b)-head))
		emit(b)
	})
	return true
}

// divide cuts a body into pieces that all but the last are multiples of 8.
func divide(body []byte, limit int, f func(piece []byte, offset int, last bool)) {
	each := limit &^ 7
	for offset := 0; offset < len(body); offset += each {
		end := min(offset+each, len(body))
		f(body[offset:end], offset, end == len(body))
	}
}
