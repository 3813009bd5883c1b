package wireguard

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAllowedIPsAreFullOnlyIfTheyAreAllOfAFamily(t *testing.T) {
	// All but 10.0.0.0/8, as calculators of allowed IPs write it.
	const allButTen = "0.0.0.0/5 8.0.0.0/7 11.0.0.0/8 12.0.0.0/6 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/2 192.0.0.0/2"
	for _, c := range []struct {
		allowed string
		want    bool
	}{
		{"", false},
		{"0.0.0.0/0", true},
		{"::/0", true},
		{"0.0.0.0/1 128.0.0.0/1", true},
		{"128.0.0.0/1", true}, // one of the halves: the other peer's comes
		{"8000::/1", true},
		{"10.0.0.0/8", false},
		{"0.0.0.0/2 64.0.0.0/2 128.0.0.0/2", false},
		{"0.0.0.0/2 64.0.0.0/2 128.0.0.0/2 192.0.0.0/2", true},
		{"0.0.0.0/2 64.0.0.0/2 128.0.0.0/2 192.0.0.0/3 224.0.0.0/3", true},
		{"0.0.0.0/2 64.0.0.0/2 128.0.0.0/2 192.0.0.0/3 224.0.0.0/4", false},
		{allButTen, false},
		{allButTen + " 10.0.0.0/8", true},
		{allButTen + " 10.0.0.0/9", false},
		{allButTen + " 10.0.0.0/9 10.128.0.0/10 10.192.0.0/10", true},
		{"2000::/3 fd00::/8", false},
		{"10.1.2.3/32 255.255.255.255/32 ffff::1/128", false},
		{"2000::/3 10.0.0.0/8", false},
	} {
		var allowed []netip.Prefix
		for _, p := range strings.Fields(c.allowed) {
			allowed = append(allowed, netip.MustParsePrefix(p))
		}
		if got := Full(allowed); got != c.want {
			t.Errorf("%q: full %v, want %v", c.allowed, got, c.want)
		}
	}
}

// FuzzFull holds for any prefixes: it ends, and the answer is that of all
// addresses at the prefixes' edges.
func FuzzFull(f *testing.F) {
	f.Add([]byte{0, 2, 64, 2, 128, 2, 192, 2})
	f.Add([]byte{0, 2, 64, 2, 128, 2, 192, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		var allowed []netip.Prefix
		for ; len(data) > 1 && len(allowed) < 64; data = data[2:] {
			allowed = append(allowed, netip.PrefixFrom(netip.AddrFrom4([4]byte{data[0]}), 2+int(data[1]%7)).Masked())
		}
		want := true // no prefix is longer than the first byte
		for n := range 256 {
			inside := false
			for _, p := range allowed {
				inside = inside || p.Contains(netip.AddrFrom4([4]byte{byte(n)}))
			}
			want = want && inside
		}
		if got := Full(allowed); got != want {
			t.Errorf("%v: full %v, want %v", allowed, got, want)
		}
	})
}
