package engine

import (
	"bytes"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/noise"
)

// crowd returns initiations to h of n strangers who know its public key.
func crowd(t *testing.T, h *host, n int) [][]byte {
	t.Helper()
	w := newWorld(t, 1, 99)
	s := w.hosts[0]
	s.knows(h, func(c *PeerConfig) { c.Endpoint = h.addr })
	for range n {
		s.wakes[0].initiate(w.now, false)
		w.now += rekeyTimeout
	}
	var out [][]byte
	for _, d := range w.seen {
		out = append(out, d.data)
	}
	return out
}

func TestUnderLoadACookieIsAskedAndGiven(t *testing.T) {
	w, a, b := pair(t, 40)
	flood := crowd(t, b, b.config.Quiet+50)
	for _, m := range flood {
		b.take(datagram{0, netip.MustParseAddrPort("203.0.113.1:1"), b.addr, m})
	}
	if got := w.count(noise.TypeCookie); got != 50 {
		t.Errorf("%d cookie replies, want 50", got)
	}
	if got := w.count(noise.TypeResponse); got != 0 {
		t.Errorf("%d strangers were answered", got)
	}
	w.forget()
	a.says(b, 1) // is asked for a cookie, and tries again with it 5 s later
	b.heard()
	if w.count(noise.TypeCookie) != 1 {
		t.Fatal("no cookie for the peer")
	}
	for range 6 {
		w.pass(time.Second)
		for i := range flood { // the load goes on
			b.take(datagram{0, netip.MustParseAddrPort("203.0.113.1:1"), b.addr, bytes.Clone(flood[i])})
		}
	}
	b.heard(1)
}

func TestACookieIsForOneAddress(t *testing.T) {
	w, a, b := pair(t, 41)
	b.gate.loaded = never
	a.says(b, 1)
	w.carry = drop // the second initiation, with its cookie, is caught
	w.forget()
	w.pass(6 * time.Second)
	if len(w.seen) != 1 {
		t.Fatalf("%d datagrams", len(w.seen))
	}
	proof := w.seen[0].data
	w.forget()
	for _, from := range []string{"192.0.2.1:2", "192.0.2.3:1", "[2001:db8::1]:1"} {
		b.take(datagram{0, netip.MustParseAddrPort(from), b.addr, bytes.Clone(proof)})
	}
	if w.count(noise.TypeResponse) != 0 || w.count(noise.TypeCookie) != 3 {
		t.Error("a cookie was taken from another address")
	}
	b.take(datagram{0, a.addr, b.addr, bytes.Clone(proof)})
	if w.count(noise.TypeResponse) != 1 {
		t.Error("the cookie's owner was refused")
	}
}

func TestOneAddressCannotCrowdOthersOutUnderLoad(t *testing.T) {
	var g gate
	g.quiet = 10
	g.loaded = never
	yes := func() bool { return true }
	admitted := 0
	for n := range 1000 { // one second of 1000 proven messages of one address
		if g.judge(time.Duration(n)*time.Millisecond, netip.MustParseAddr("203.0.113.1"), yes) == admit {
			admitted++
		}
	}
	if admitted < sourceRate || admitted > sourceRate+sourceBurst {
		t.Errorf("%d of 1000 were admitted", admitted)
	}
	if g.judge(time.Second, netip.MustParseAddr("203.0.113.2"), yes) != admit {
		t.Error("another address was refused")
	}
	one, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff")
	for range sourceBurst {
		g.judge(time.Second, one, yes)
	}
	if g.judge(time.Second, other, yes) != refuse {
		t.Error("a host took a fresh bucket with another address of its /64")
	}
	total := 0
	for n := range 100000 { // from everywhere at once
		if g.judge(2*time.Second, netip.AddrFrom4([4]byte{1, byte(n >> 16), byte(n >> 8), byte(n)}), yes) == admit {
			total++
		}
	}
	if total > hardLimit {
		t.Errorf("%d handshakes in one second", total)
	}
}

// Floods of everything that a stranger can send: nothing grows, and the peer's
// own packets still pass.
func TestFloodsMakeNothingGrow(t *testing.T) {
	w, a, b := pair(t, 42)
	a.says(b, 1)
	flood := crowd(t, b, 400)
	caught := bytes.Clone(w.seen[2].data)
	before := len(b.indices)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b.heard(1)
	w.carry = drop
	start := heap()
	for n := range 60000 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, byte(n >> 16), byte(n >> 8), byte(n)}), uint16(n)|1)
		var m []byte
		switch n % 6 {
		case 0:
			m = bytes.Clone(flood[n%len(flood)])
		case 1:
			m = bytes.Repeat([]byte{byte(n)}, n%1500)
		case 2:
			m = bytes.Clone(caught)
		case 3:
			m = append([]byte{4, 0, 0, 0}, bytes.Repeat([]byte{byte(n)}, 60)...)
		case 4:
			m = append([]byte{2, 0, 0, 0}, bytes.Repeat([]byte{byte(n)}, 88)...)
		case 5:
			m = append([]byte{3, 0, 0, 0}, bytes.Repeat([]byte{byte(n)}, 60)...)
		}
		b.take(datagram{0, from, b.addr, m})
		if n%1000 == 0 {
			w.now += 10 * time.Millisecond
			w.seen = nil
		}
	}
	w.seen = nil
	if grown := int64(heap()) - int64(start); grown > 256<<10 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if len(b.indices) != before || len(b.peers) != 1 {
		t.Errorf("%d indices, before %d", len(b.indices), before)
	}
	w.carry = nil
	b.heard()
	a.says(b, 2)
	b.heard(2)
}
