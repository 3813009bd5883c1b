// Package wire sees and explains the frames that come out of a cable: it
// captures them, says of each why it may be there, and calls the rest leaks.
package wire

import (
	"bytes"
	"encoding/binary"
	"time"
)

// A Frame is one Ethernet frame as it left the cable, VLAN tag included.
type Frame struct {
	Time time.Time
	Data []byte
	// Len is the length on the wire; more than len(Data) means a cut frame,
	// which is never explained.
	Len int
}

// FindNonce returns the frames that carry nonce anywhere.
func FindNonce(frames []Frame, nonce string) []Frame {
	var found []Frame
	for _, f := range frames {
		if bytes.Contains(f.Data, []byte(nonce)) {
			found = append(found, f)
		}
	}
	return found
}

// Numbers returns the numbers that follow nonce at the start of UDP datagrams,
// which is how a stream counts, in the order of the frames. Datagrams that are
// quoted in ICMP errors do not count.
func Numbers(frames []Frame, nonce string) []uint64 {
	var numbers []uint64
	for _, f := range frames {
		p, ok := parse(f.Data)
		if !ok || p.proto != protoUDP || p.offset > 0 {
			continue
		}
		number, found := bytes.CutPrefix(p.payload[8:], []byte(nonce))
		if found && len(number) >= 8 {
			numbers = append(numbers, binary.BigEndian.Uint64(number))
		}
	}
	return numbers
}
