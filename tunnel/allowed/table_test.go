package allowed_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/tunnel/allowed"
)

func find(t *allowed.Table[int], a netip.Addr) (int, bool) {
	if a.Is4() {
		return t.Lookup4(a.AsSlice())
	}
	return t.Lookup16(a.AsSlice())
}

func TestLongestPrefixWins(t *testing.T) {
	var table allowed.Table[int]
	for i, p := range []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "192.168.1.77/24", "::/0", "2001:db8::/32", "2001:db8::1/128", "fd00::/8"} {
		table.Insert(netip.MustParsePrefix(p), i)
	}
	for addr, want := range map[string]int{
		"9.9.9.9": 0, "10.9.9.9": 1, "10.1.9.9": 2, "10.1.2.3": 3, "10.1.2.2": 2, "192.168.1.1": 4, "192.168.2.1": 0, "255.255.255.255": 0, "0.0.0.0": 0,
		"::": 5, "2001:db9::": 5, "2001:db8::2": 6, "2001:db8::1": 7, "fd12::1": 8, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": 5,
	} {
		if got, ok := find(&table, netip.MustParseAddr(addr)); !ok || got != want {
			t.Errorf("%s goes to %d, %v, want %d", addr, got, ok, want)
		}
	}
	table.Insert(netip.MustParsePrefix("10.1.0.0/16"), 99)
	if got, _ := find(&table, netip.MustParseAddr("10.1.9.9")); got != 99 {
		t.Errorf("the last to ask for a prefix does not have it, but %d", got)
	}
}

// A plain list is the judge, over random inserts and removals in few bits, so
// that prefixes nest and part everywhere.
func TestTableAgreesWithAList(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var table allowed.Table[int]
		list := map[netip.Prefix]int{}
		addr := func() netip.Addr {
			x := byte(rng.IntN(256))
			if rng.IntN(2) == 0 {
				return netip.AddrFrom4([4]byte{x & 0xc1, 0, 0, x & 0x83})
			}
			return netip.AddrFrom16([16]byte{0: x & 0xc1, 7: x & 3, 8: x & 0x81, 15: x & 0x83})
		}
		for range 60 {
			a := addr()
			p := netip.PrefixFrom(a, rng.IntN(a.BitLen()+1)).Masked()
			v := rng.IntN(6)
			switch rng.IntN(10) {
			case 0, 1, 2, 3:
				for q := range list { // one that is there, in half of the cases
					if rng.IntN(2) == 0 {
						p = q
					}
					break
				}
				table.Delete(p, v)
				if w, ok := list[p]; ok && w == v {
					delete(list, p)
				}
			default:
				w, ok := list[p]
				if was, held := table.Insert(p, v); held != ok || was != w {
					t.Fatalf("seed %d: %s was %d's, %v, want %d's, %v", seed, p, was, held, w, ok)
				}
				list[p] = v
			}
			for range 20 {
				a := addr()
				best, want := -1, 0
				for q, w := range list {
					if q.Contains(a) && q.Bits() > best {
						best, want = q.Bits(), w
					}
				}
				if got, ok := find(&table, a); ok != (best >= 0) || got != want {
					t.Fatalf("seed %d: %s goes to %d, %v, want %d of /%d", seed, a, got, ok, want, best)
				}
			}
		}
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	var table allowed.Table[int]
	table.Insert(netip.MustParsePrefix("10.0.0.0/8"), 1)
	b := []byte{10, 1, 2, 3}
	if n := testing.AllocsPerRun(100, func() { table.Lookup4(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestNothingIsLeftOfWhatWasDeleted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 4))
	var table allowed.Table[int]
	var all []netip.Prefix
	for i := range 500 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(rng.IntN(4)), byte(rng.IntN(256)), 0, 0}), rng.IntN(25))
		table.Insert(p, i)
		all = append(all, p)
	}
	for _, p := range all {
		for i := range all {
			table.Delete(p, i)
		}
	}
	if table != (allowed.Table[int]{}) {
		t.Error("nodes are left")
	}
}
