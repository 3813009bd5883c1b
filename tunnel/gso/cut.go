package gso

import "encoding/binary"

// Cut divides a TCP packet or super-packet, whose header is at the start of p,
// into segments whose packets have at most limit bytes. TCP does not mind where
// its stream is cut, so nothing is lost and nobody must be told. ok is false for
// what cannot be cut: other protocols, fragments, urgent data, no room.
func Cut(p, heads []byte, limit int) (s Segments, ok bool) {
	var start int
	switch {
	case len(p) >= 20 && p[0]>>4 == 4 && p[9] == protoTCP && binary.BigEndian.Uint16(p[6:])&0x3fff == 0:
		start = int(p[0]&15) * 4
	case len(p) >= 40 && p[0]>>4 == 6 && p[6] == protoTCP:
		start = 40
	}
	if start < 20 || start+20 > len(p) {
		return s, false
	}
	head := start + int(p[start+12]>>4)*4
	// Data of these is no plain stream.
	const special = tcpSYN | tcpRST | tcpURG
	if head < start+20 || head > MaxHead || head >= len(p) || limit-head < 1 || p[start+13]&special != 0 {
		return s, false
	}
	s = Segments{Buf: p, Head: head, Size: limit - head}
	s.Count = (len(p) - head + s.Size - 1) / s.Size
	if s.Count*head > len(heads) {
		return Segments{}, false
	}
	s.Heads = heads[:s.Count*head]
	for i := range s.Count {
		s.write(i, start, protoTCP)
	}
	return s, true
}

// Checksum returns the internet checksum (RFC 1071) of b as it is sent, in
// network order. The sum of what else it covers may be given as initial.
func Checksum(b []byte, initial uint64) [2]byte {
	var out [2]byte
	putNot(out[:], sum(b, initial))
	return out
}

// Pseudo is the sum of the pseudo header of an IP packet for length bytes of a
// protocol, for [Checksum].
func Pseudo(ip []byte, proto byte, length int) uint64 { return pseudo(ip, proto, length) }
