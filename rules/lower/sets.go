package lower

import (
	"bytes"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

func namedSet(t *nftables.Table, s rules.Set, ids *uint32) (Set, error) {
	*ids++
	out := Set{Set: &nftables.Set{Table: t, Name: s.Name, ID: *ids, KeyType: addrType(s.IPv6)}}
	for _, a := range s.Addrs {
		out.Elements = append(out.Elements, nftables.SetElement{Key: a.AsSlice()})
	}
	if len(s.Endpoints) == 0 {
		return out, nil
	}
	key, err := nftables.ConcatSetType(addrType(s.IPv6), nftables.TypeInetProto, nftables.TypeInetService)
	if err != nil {
		return Set{}, fmt.Errorf("set %q: %w", s.Name, err)
	}
	out.KeyType = key
	for _, e := range s.Endpoints {
		out.Elements = append(out.Elements, nftables.SetElement{Key: tupleKey(e)})
	}
	return out, nil
}

// tupleKey pads each part to four bytes, as registers hold them.
func tupleKey(e endpoint.Endpoint) []byte {
	key := append(e.Addr.Addr().AsSlice(), rules.ProtoNumber(e.Proto), 0, 0, 0)
	port := e.Addr.Port()
	return append(key, byte(port>>8), byte(port), 0, 0)
}

func addrType(ipv6 bool) nftables.SetDatatype {
	if ipv6 {
		return nftables.TypeIP6Addr
	}
	return nftables.TypeIPAddr
}

// anonymous adds a set that belongs to the rule being written.
func (w *writer) anonymous(kind nftables.SetDatatype, interval bool, elements []nftables.SetElement) Set {
	*w.ids++
	s := Set{
		Set: &nftables.Set{
			Table: w.table, Name: "__set%d", ID: *w.ids, Anonymous: true, Constant: true,
			Interval: interval, KeyType: kind, KeyByteOrder: binaryutil.BigEndian,
		},
		Elements: elements,
	}
	w.sets = append(w.sets, s)
	return s
}

func values[T any](list []T, bytes func(T) []byte) []nftables.SetElement {
	out := make([]nftables.SetElement, 0, len(list))
	for _, v := range list {
		out = append(out, nftables.SetElement{Key: bytes(v)})
	}
	return out
}

// ranges writes half-open intervals: a start and, unless it would lie behind
// the highest value, an end. Ranges that touch become one, as nft does it.
// The list is sorted and has no overlaps.
func ranges[T any](list []T, bounds func(T) (first, last []byte)) []nftables.SetElement {
	var out []nftables.SetElement
	for _, r := range list {
		first, last := bounds(r)
		if n := len(out); n > 0 && bytes.Equal(out[n-1].Key, first) {
			out = out[:n-1]
		} else {
			out = append(out, nftables.SetElement{Key: first})
		}
		if end, ok := next(last); ok {
			out = append(out, nftables.SetElement{Key: end, IntervalEnd: true})
		}
	}
	return out
}

// next is the value behind b, in big-endian order; false if there is none.
func next(b []byte) ([]byte, bool) {
	out := append([]byte(nil), b...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out, true
		}
	}
	return nil, false
}

func prefixBounds(p netip.Prefix) (first, last []byte) {
	first = p.Masked().Addr().AsSlice()
	last = append([]byte(nil), first...)
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	return first, last
}

func mask(p netip.Prefix) []byte {
	m := make([]byte, p.Addr().BitLen()/8)
	for bit := range p.Bits() {
		m[bit/8] |= 0x80 >> (bit % 8)
	}
	return m
}

func portBounds(p rules.PortRange) (first, last []byte) {
	return be16(p.First), be16(p.Last)
}

func be16(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }
