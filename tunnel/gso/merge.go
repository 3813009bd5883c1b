package gso

import (
	"bytes"
	"encoding/binary"
)

// Bounds of a run. The kernel takes at most 64 segments of UDP (its own limit
// for UDP_SEGMENT) and 65535 bytes of IP.
const (
	maxRun   = 64
	maxBytes = 65535
)

// Merger puts packets that follow each other in one flow together, so that the
// kernel takes them as one super-packet. It holds on to the packets until
// Flush, and moves none of their bytes.
type Merger struct {
	// TCP and UDP say what the kernel takes.
	TCP, UDP bool
	// Write takes the virtio header and the parts of one packet or of a
	// super-packet. The parts are gone when it returns. count tells how many
	// packets it is.
	Write func(parts [][]byte, count int)

	header  [HeaderSize]byte
	parts   [maxRun + 1][]byte
	count   int
	first   []byte // the run's first packet
	start   int    // of its transport header
	head    int    // length of all headers
	size    int    // of each body but the last
	bytes   int    // of the whole
	next    uint32 // TCP's sequence number that continues the run
	proto   byte
	open    bool // more may follow
	checked bool // the first packet's own checksums are right
}

// Add takes a packet. It is written at once, or with those that follow it.
func (m *Merger) Add(p []byte) {
	start, head, proto := m.parse(p)
	if proto == 0 {
		m.Flush()
		m.parts[1] = p
		m.count, m.first, m.open = 1, p, false
		m.Flush()
		return
	}
	if m.count > 0 && m.open && m.follows(p, start, head, proto) {
		body := p[head:]
		m.parts[1+m.count] = body
		m.count++
		m.bytes += len(body)
		m.next += uint32(len(body))
		push := proto == protoTCP && p[start+13]&tcpPSH != 0
		if push {
			m.first[m.start+13] |= tcpPSH
		}
		m.open = !push && len(body) == m.size && m.count < maxRun
		return
	}
	m.Flush()
	m.parts[1] = p
	m.count, m.first, m.start, m.head, m.proto = 1, p, start, head, proto
	m.size, m.bytes, m.checked = len(p)-head, len(p), false
	m.open = true
	if proto == protoTCP {
		m.next = binary.BigEndian.Uint32(p[start+4:]) + uint32(m.size)
		m.open = p[start+13]&tcpPSH == 0
	}
}

// parse finds the headers of a packet that can be part of a run: proto 0 means
// that it cannot. Fragments, options of IP, and what TCP says besides data and
// acknowledgement stay as they are.
func (m *Merger) parse(p []byte) (start, head int, proto byte) {
	switch {
	case len(p) >= 20 && p[0] == 0x45 && binary.BigEndian.Uint16(p[6:])&^0x4000 == 0 && int(binary.BigEndian.Uint16(p[2:])) == len(p):
		start, proto = 20, p[9]
	case len(p) >= 40 && p[0]>>4 == 6 && int(binary.BigEndian.Uint16(p[4:])) == len(p)-40:
		start, proto = 40, p[6]
	default:
		return 0, 0, 0
	}
	switch {
	case proto == protoTCP && m.TCP && len(p) >= start+20 && p[start+13]&^tcpPSH == tcpACK:
		length := int(p[start+12]>>4) * 4
		if length < 20 {
			return 0, 0, 0
		}
		head = start + length
	case proto == protoUDP && m.UDP && len(p) >= start+8 && int(binary.BigEndian.Uint16(p[start+4:])) == len(p)-start && binary.BigEndian.Uint16(p[start+6:]) != 0:
		head = start + 8
	default:
		return 0, 0, 0
	}
	if len(p) <= head {
		return 0, 0, 0 // nothing to put together
	}
	return start, head, proto
}

// follows reports whether p continues the run, checksums included: the kernel
// trusts a super-packet, so nothing that is wrong may hide in one.
func (m *Merger) follows(p []byte, start, head int, proto byte) bool {
	f := m.first
	if proto != m.proto || start != m.start || head != m.head || len(p)-head > m.size || m.bytes+len(p)-head > maxBytes {
		return false
	}
	if start == 20 {
		// Version and service; flags; time to live and protocol; addresses.
		if !bytes.Equal(p[:2], f[:2]) || !bytes.Equal(p[6:10], f[6:10]) || !bytes.Equal(p[12:20], f[12:20]) {
			return false
		}
		// The kernel counts on when it takes the super-packet apart again.
		if binary.BigEndian.Uint16(p[4:]) != binary.BigEndian.Uint16(f[4:])+uint16(m.count) && p[6]&0x40 == 0 {
			return false
		}
	} else if !bytes.Equal(p[:4], f[:4]) || !bytes.Equal(p[6:40], f[6:40]) {
		return false
	}
	if !bytes.Equal(p[start:start+4], f[start:start+4]) { // ports
		return false
	}
	if proto == protoTCP {
		if binary.BigEndian.Uint32(p[start+4:]) != m.next ||
			!bytes.Equal(p[start+8:start+13], f[start+8:start+13]) || // acknowledged; length
			!bytes.Equal(p[start+14:start+16], f[start+14:start+16]) || // window
			!bytes.Equal(p[start+18:head], f[start+18:head]) { // options
			return false
		}
	}
	if !m.checked {
		if !sound(f, start, proto) {
			return false
		}
		m.checked = true
	}
	return sound(p, start, proto)
}

// sound reports whether a packet's checksums are right.
func sound(p []byte, start int, proto byte) bool {
	if start == 20 && fold(sum(p[:20], 0)) != 0xffff {
		return false
	}
	return fold(sum(p[start:], pseudo(p, proto, len(p)-start))) == 0xffff
}

// Flush writes what was put together.
func (m *Merger) Flush() {
	if m.count == 0 {
		return
	}
	clear(m.header[:])
	if m.count > 1 {
		m.seal()
	}
	m.parts[0] = m.header[:]
	m.Write(m.parts[:1+m.count], m.count)
	clear(m.parts[:1+m.count])
	m.count, m.first, m.open = 0, nil, false
}

// seal makes the first header that of the super-packet. Its transport checksum
// is left to the kernel, which finds the pseudo header's sum there.
func (m *Merger) seal() {
	f := m.first
	kind, field := byte(typeTCP4), 16
	if m.start == 20 {
		binary.BigEndian.PutUint16(f[2:], uint16(m.bytes))
		f[10], f[11] = 0, 0
		putNot(f[10:], sum(f[:20], 0))
	} else {
		kind = typeTCP6
		binary.BigEndian.PutUint16(f[4:], uint16(m.bytes-40))
	}
	if m.proto == protoUDP {
		kind, field = typeUDP, 6
		binary.BigEndian.PutUint16(f[m.start+4:], uint16(m.bytes-m.start))
	}
	put(f[m.start+field:], pseudo(f, m.proto, m.bytes-m.start))
	m.header[0], m.header[1] = flagNeedsChecksum, kind
	binary.NativeEndian.PutUint16(m.header[2:], uint16(m.head))
	binary.NativeEndian.PutUint16(m.header[4:], uint16(m.size))
	binary.NativeEndian.PutUint16(m.header[6:], uint16(m.start))
	binary.NativeEndian.PutUint16(m.header[8:], uint16(field))
}
