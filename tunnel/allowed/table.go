// Package allowed finds the peer of an inner address by the longest prefix: it
// decides where a packet goes and whether a peer may be its source.
package allowed

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Table maps prefixes of both families to values. The zero value is empty. It
// is a binary tree without chains: a node is where two prefixes part, or a
// prefix. Lookups allocate nothing; a table is not changed while others read it.
type Table[V comparable] struct {
	v4, v6 *node[V]
}

// bits128 is an address from its first bit on; an IPv4 address has 32.
type bits128 struct{ hi, lo uint64 }

func (b bits128) bit(i int) int {
	if i < 64 {
		return int(b.hi >> (63 - i) & 1)
	}
	return int(b.lo >> (127 - i) & 1)
}

// common returns how many first bits a and b share.
func (b bits128) common(o bits128) int {
	if x := b.hi ^ o.hi; x != 0 {
		return bits.LeadingZeros64(x)
	}
	return 64 + bits.LeadingZeros64(b.lo^o.lo)
}

type node[V comparable] struct {
	prefix bits128
	length int
	value  V
	held   bool // a prefix of its own, not only where others part
	child  [2]*node[V]
}

func from4(b []byte) bits128 {
	return bits128{hi: uint64(binary.BigEndian.Uint32(b)) << 32}
}

func from16(b []byte) bits128 {
	return bits128{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// Insert gives prefix, which must be valid, to value; the last one to ask has
// it. Bits behind the prefix's length count for nothing. It tells who had it, if
// anybody did.
func (t *Table[V]) Insert(prefix netip.Prefix, value V) (was V, held bool) {
	prefix = prefix.Masked()
	raw := prefix.Addr().AsSlice()
	if prefix.Addr().Is4() {
		return insert(&t.v4, from4(raw), prefix.Bits(), value)
	}
	return insert(&t.v6, from16(raw), prefix.Bits(), value)
}

func insert[V comparable](at **node[V], prefix bits128, length int, value V) (was V, held bool) {
	for *at != nil {
		n := *at
		shared := min(n.prefix.common(prefix), n.length, length)
		if shared < n.length {
			// n is below the new prefix, or they part before n's end.
			parted := &node[V]{prefix: prefix, length: shared}
			parted.child[n.prefix.bit(shared)] = n
			*at = parted
			if shared == length {
				parted.value, parted.held = value, true
				return was, false
			}
			parted.child[prefix.bit(shared)] = &node[V]{prefix: prefix, length: length, value: value, held: true}
			return was, false
		}
		if n.length == length {
			was, held = n.value, n.held
			n.value, n.held = value, true
			return was, held
		}
		at = &n.child[prefix.bit(n.length)]
	}
	*at = &node[V]{prefix: prefix, length: length, value: value, held: true}
	return was, false
}

// Lookup4 finds the value for an IPv4 address, the first 4 bytes of b.
func (t *Table[V]) Lookup4(b []byte) (V, bool) { return lookup(t.v4, from4(b)) }

// Lookup16 finds the value for an IPv6 address, the first 16 bytes of b.
func (t *Table[V]) Lookup16(b []byte) (V, bool) { return lookup(t.v6, from16(b)) }

func lookup[V comparable](n *node[V], addr bits128) (found V, ok bool) {
	for n != nil && n.prefix.common(addr) >= n.length {
		if n.held {
			found, ok = n.value, true
		}
		if n.length == 128 {
			break
		}
		n = n.child[addr.bit(n.length)]
	}
	return found, ok
}

// Any6 reports whether there is a prefix of IPv6.
func (t *Table[V]) Any6() bool { return t.v6 != nil }

// needed is what stands in n's place: n itself, unless it is neither a prefix
// nor a parting.
func (n *node[V]) needed() *node[V] {
	switch {
	case n.held || n.child[0] != nil && n.child[1] != nil:
		return n
	case n.child[0] != nil:
		return n.child[0]
	}
	return n.child[1]
}

// Delete takes one prefix, which must be valid, out if it is value's.
func (t *Table[V]) Delete(prefix netip.Prefix, value V) {
	prefix = prefix.Masked()
	raw := prefix.Addr().AsSlice()
	if prefix.Addr().Is4() {
		t.v4 = cut(t.v4, from4(raw), prefix.Bits(), value)
	} else {
		t.v6 = cut(t.v6, from16(raw), prefix.Bits(), value)
	}
}

func cut[V comparable](n *node[V], prefix bits128, length int, value V) *node[V] {
	if n == nil || n.length > length || n.prefix.common(prefix) < n.length {
		return n
	}
	switch {
	case n.length == length && n.held && n.value == value:
		var none V
		n.held, n.value = false, none
	case n.length < length:
		at := &n.child[prefix.bit(n.length)]
		*at = cut(*at, prefix, length, value)
	}
	return n.needed()
}
