package pmtu

import "encoding/binary"

// A probe and its acknowledgement travel as the content of authentic transport
// messages. Their first four bits are no version of IP, so a peer that knows
// nothing of them drops them as it drops every content that is no IP packet
// (whitepaper, 5.4.6: the content's source must be allowed), and what it
// drops never reaches its host.
//
//	0       4    5       8        12     16
//	magic   kind 0 0 0   id       size   zeros up to size
//
// An acknowledgement is as long as the smallest probe: nobody gets more than
// was sent.
const (
	magic     = 0xf0a5c31e
	kindProbe = 1
	kindAck   = 2
	// MessageSize is that of an acknowledgement and of the smaller probe of a pair.
	MessageSize = 16
)

// Message is a probe or its acknowledgement.
type Message struct {
	Ack bool
	ID  uint32
	// Size is the probe's content in bytes.
	Size int
}

// Put writes the message to the start of b, which has room for it, and returns
// what is to be sent: m.Size bytes for a probe.
func (m Message) Put(b []byte) []byte {
	n, kind := MessageSize, byte(kindAck)
	if !m.Ack {
		n, kind = max(m.Size, MessageSize), kindProbe
	}
	clear(b[:n])
	binary.BigEndian.PutUint32(b, magic)
	b[4] = kind
	binary.BigEndian.PutUint32(b[8:], m.ID)
	binary.BigEndian.PutUint32(b[12:], uint32(m.Size))
	return b[:n]
}

// Parse reads what a peer sent; ok is false for every other content.
func Parse(b []byte) (m Message, ok bool) {
	if len(b) < MessageSize || binary.BigEndian.Uint32(b) != magic || b[5]|b[6]|b[7] != 0 {
		return m, false
	}
	m = Message{Ack: b[4] == kindAck, ID: binary.BigEndian.Uint32(b[8:]), Size: int(binary.BigEndian.Uint32(b[12:]))}
	switch {
	case m.Ack:
		ok = len(b) == MessageSize
	case b[4] == kindProbe:
		ok = m.Size == len(b)
	}
	return m, ok
}
