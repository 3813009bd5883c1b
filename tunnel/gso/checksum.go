package gso

import (
	"encoding/binary"
	"math/bits"
)

// sum adds b to a one's complement sum (RFC 1071) in the machine's byte order,
// which the sum does not depend on. The result is not folded.
func sum(b []byte, initial uint64) uint64 {
	s, carry := initial, uint64(0)
	for len(b) >= 32 {
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b[8:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b[16:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(last[:]), carry)
	}
	s, carry = bits.Add64(s, carry, 0)
	return s + carry
}

// fold brings a sum to 16 bits, in the machine's byte order.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s>>16 + s&0xffff)
}

// put writes the folded sum; with not, its complement, as checksums are sent.
func put(at []byte, s uint64)    { binary.NativeEndian.PutUint16(at, fold(s)) }
func putNot(at []byte, s uint64) { binary.NativeEndian.PutUint16(at, ^fold(s)) }

// pseudo is the sum of the pseudo header of an IP packet for length bytes of a
// transport protocol.
func pseudo(ip []byte, proto byte, length int) uint64 {
	var rest [8]byte
	binary.BigEndian.PutUint32(rest[:], uint32(length))
	rest[7] = proto
	if ip[0]>>4 == 4 {
		return sum(rest[:], sum(ip[12:20], 0))
	}
	return sum(rest[:], sum(ip[8:40], 0))
}
