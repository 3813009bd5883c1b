// Package gso takes the kernel's super-packets apart and puts packets together
// to super-packets: segmentation and receive offload of a TUN device with
// virtio headers. It does no I/O and moves no payload.
package gso

import (
	"encoding/binary"
	"errors"
)

// HeaderSize is that of the virtio header before each packet (struct
// virtio_net_hdr, in the machine's byte order).
const HeaderSize = 10

// Flags and types of the virtio header.
const (
	flagNeedsChecksum = 1
	typeNone          = 0
	typeTCP4          = 1
	typeTCP6          = 4
	typeUDP           = 5
	typeECN           = 0x80
)

const (
	protoTCP = 6
	protoUDP = 17
)

// MaxHead is the longest IP and transport header that is taken: an IPv6 header
// with options and the longest TCP header.
const MaxHead = 256

// HeadsSize is room for the headers of every super-packet that the kernel can
// make: 65535 bytes in segments of TCP's least size (88 bytes with options),
// with the longest usual headers.
const HeadsSize = 128 << 10

// ErrMalformed is returned for what no kernel should hand over.
var ErrMalformed = errors.New("malformed packet with virtio header")

// Segments is a super-packet in parts: Buf begins with the room of one header
// and holds the bodies without gaps; Heads are the headers of each segment,
// Head bytes long. A packet that is none has Head 0 and is its own body.
type Segments struct {
	Buf   []byte
	Heads []byte
	Head  int
	Size  int // of each body but the last
	Count int
}

// Split reads the virtio header at the start of buf and prepares what follows
// it. A checksum that the kernel left to us is completed. heads is where
// headers are written, [HeadsSize] bytes; a packet that needs more is refused.
func Split(buf, heads []byte) (Segments, error) {
	if len(buf) < HeaderSize+20 {
		return Segments{}, ErrMalformed
	}
	h, p := buf[:HeaderSize], buf[HeaderSize:]
	kind := h[1] &^ typeECN
	size := int(binary.NativeEndian.Uint16(h[4:]))
	start := int(binary.NativeEndian.Uint16(h[6:]))
	offset := int(binary.NativeEndian.Uint16(h[8:]))
	if kind == typeNone {
		if h[0]&flagNeedsChecksum != 0 {
			if start+offset+2 > len(p) {
				return Segments{}, ErrMalformed
			}
			// The field holds the pseudo header's sum already.
			complete(p[start:], offset)
		}
		return Segments{Buf: p, Size: len(p), Count: 1}, nil
	}
	head, proto := start, byte(protoTCP)
	switch v := p[0] >> 4; {
	case kind == typeTCP4 && v == 4, kind == typeTCP6 && v == 6:
		if start+20 > len(p) {
			return Segments{}, ErrMalformed
		}
		length := int(p[start+12]>>4) * 4
		if length < 20 {
			return Segments{}, ErrMalformed
		}
		head += length
	case kind == typeUDP && (v == 4 || v == 6):
		head, proto = head+8, protoUDP
	default:
		return Segments{}, ErrMalformed
	}
	if least := map[byte]int{4: 20, 6: 40}[p[0]>>4]; start < least || head > len(p) || head > MaxHead || size == 0 {
		return Segments{}, ErrMalformed
	}
	s := Segments{Buf: p, Head: head, Size: size, Count: max(1, (len(p)-head+size-1)/size)}
	if s.Count*head > len(heads) {
		return Segments{}, ErrMalformed
	}
	s.Heads = heads[:s.Count*head]
	for i := range s.Count {
		s.write(i, start, proto)
	}
	return s, nil
}

// complete puts the checksum of b at offset into its field, whose content is
// part of the sum.
func complete(b []byte, offset int) {
	s := ^fold(sum(b, 0))
	if s == 0 {
		s = 0xffff // for UDP zero means none, for others both are zero (RFC 768)
	}
	binary.NativeEndian.PutUint16(b[offset:], s)
}

// write makes the header of segment i from the super-packet's.
func (s *Segments) write(i, start int, proto byte) {
	h := s.Heads[i*s.Head : (i+1)*s.Head]
	copy(h, s.Buf[:s.Head])
	body := s.Body(i)
	length := s.Head + len(body)
	if h[0]>>4 == 4 {
		binary.BigEndian.PutUint16(h[2:], uint16(length))
		binary.BigEndian.PutUint16(h[4:], binary.BigEndian.Uint16(h[4:])+uint16(i))
		h[10], h[11] = 0, 0
		putNot(h[10:], sum(h[:int(h[0]&15)*4], 0))
	} else {
		binary.BigEndian.PutUint16(h[4:], uint16(length-40))
	}
	l4, at := h[start:], 16
	if proto == protoTCP {
		binary.BigEndian.PutUint32(l4[4:], binary.BigEndian.Uint32(l4[4:])+uint32(i*s.Size))
		if i != s.Count-1 {
			l4[13] &^= tcpFIN | tcpPSH
		}
		if i != 0 {
			l4[13] &^= tcpCWR // the first segment alone says it (RFC 3168)
		}
	} else {
		binary.BigEndian.PutUint16(l4[4:], uint16(length-start))
		at = 6
	}
	l4[at], l4[at+1] = 0, 0
	c := ^fold(sum(body, sum(l4, pseudo(h, proto, length-start))))
	if c == 0 && proto == protoUDP {
		c = 0xffff
	}
	binary.NativeEndian.PutUint16(l4[at:], c)
}

// Body returns the payload of segment i.
func (s *Segments) Body(i int) []byte {
	from := s.Head + i*s.Size
	return s.Buf[from:min(from+s.Size, len(s.Buf))]
}

// Copy writes segment i as a packet of its own to dst and returns it.
func (s *Segments) Copy(dst []byte, i int) []byte {
	dst = append(dst[:0], s.Heads[i*s.Head:min((i+1)*s.Head, len(s.Heads))]...)
	return append(dst, s.Body(i)...)
}

// Flags of TCP.
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpRST = 0x04
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpURG = 0x20
	tcpCWR = 0x80
)
