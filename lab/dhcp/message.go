// Package dhcp is a DHCP server for a laboratory that gives what it is told to,
// and a client that takes what it is given (RFC 2131), for machines where no
// other is installed.
package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
)

// Options (RFC 2132; RFC 3442 for the last).
const (
	optMask         = 1
	OptRouter       = 3
	OptDNS          = 6
	optHostname     = 12
	OptStaticRoutes = 33
	optRequested    = 50
	optLease        = 51
	optKind         = 53
	optServer       = 54
	optWanted       = 55
	OptClassless    = 121
)

// Kinds of messages.
const (
	discover = 1
	offer    = 2
	request  = 3
	ack      = 5
)

type message struct {
	op      byte
	xid     [4]byte
	hw      [6]byte
	yours   netip.Addr
	options map[byte][]byte
}

var errMessage = errors.New("no dhcp message")

const fixed = 236 // before the magic cookie

var cookie = []byte{99, 130, 83, 99}

func parse(b []byte) (m message, err error) {
	if len(b) < fixed+4 || !bytes.Equal(b[fixed:fixed+4], cookie) {
		return m, errMessage
	}
	m = message{op: b[0], options: map[byte][]byte{}}
	copy(m.xid[:], b[4:])
	copy(m.hw[:], b[28:])
	m.yours, _ = netip.AddrFromSlice(b[16:20])
	for o := b[fixed+4:]; len(o) > 0 && o[0] != 255; {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || len(o) < 2+int(o[1]) {
			return m, errMessage
		}
		m.options[o[0]] = append(m.options[o[0]], o[2:2+int(o[1])]...) // RFC 3396
		o = o[2+int(o[1]):]
	}
	return m, nil
}

func (m message) bytes() []byte {
	b := make([]byte, fixed, 548)
	b[0], b[1], b[2] = m.op, 1, 6
	copy(b[4:], m.xid[:])
	b[10] = 0x80 // the answer by broadcast
	if m.yours.Is4() {
		a := m.yours.As4()
		copy(b[16:], a[:])
	}
	copy(b[28:], m.hw[:])
	b = append(b, cookie...)
	// The kind first, as some clients want it.
	for code := 0; code < 255; code++ {
		at := byte(code)
		if code == 0 {
			at = optKind
		} else if at == optKind {
			continue
		}
		for v := m.options[at]; len(v) > 0; {
			n := min(len(v), 255)
			b = append(append(b, at, byte(n)), v[:n]...)
			v = v[n:]
		}
	}
	b = append(b, 255)
	for len(b) < 300 { // BOOTP's least
		b = append(b, 0)
	}
	return b
}

// Classless encodes routes for option 121.
func Classless(routes map[netip.Prefix]netip.Addr) (b []byte) {
	for p, by := range routes {
		dst, via := p.Addr().As4(), by.As4()
		b = append(append(append(b, byte(p.Bits())), dst[:(p.Bits()+7)/8]...), via[:]...)
	}
	return b
}

// Addresses encodes what is a list of addresses.
func Addresses(list ...netip.Addr) (b []byte) {
	for _, a := range list {
		b = append(b, a.AsSlice()...)
	}
	return b
}

func seconds(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
