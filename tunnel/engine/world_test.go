package engine

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
)

// world is two or more engines, a clock that only the test moves, and a network
// that does what the test wants with each datagram:
//
//	host 0  10.0.0.1  192.0.2.1:1     host 1  10.0.0.2  192.0.2.2:1 ...
type world struct {
	t     testing.TB
	now   time.Duration
	hosts []*host
	queue []datagram
	// carry decides what becomes of a datagram; nil: it arrives at once.
	carry func(datagram) []datagram
	seen  []datagram // everything that was sent, as it was sent
	rng   *rand.Rand
}

type datagram struct {
	at       time.Duration
	from, to netip.AddrPort
	data     []byte
}

type host struct {
	*Engine
	w         *world
	addr      netip.AddrPort
	inner     netip.Addr
	called    netip.Addr   // the own address that datagrams seem to arrive at
	as        []netip.Addr // that each datagram was to leave from
	private   key.Private
	delivered [][]byte
}

// source is a reader of random bytes that a seed decides.
type source struct{ *rand.ChaCha8 }

func newWorld(t testing.TB, n int, seed byte) *world {
	w := &world{t: t, now: time.Hour, rng: rand.New(rand.NewPCG(uint64(seed), 1))}
	for i := range n {
		h := &host{w: w, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 1), inner: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})}
		random := source{rand.NewChaCha8([32]byte{seed, byte(i), 1})}
		var err error
		if h.private, err = key.NewPrivate(random); err != nil {
			t.Fatal(err)
		}
		h.Engine, err = New(Config{
			Private: h.private, Random: random,
			Wall: func() time.Time { return time.Unix(1_700_000_000, 0).Add(w.now) },
			Send: func(way Way, data []byte) {
				h.as = append(h.as, way.From)
				w.send(datagram{w.now, h.addr, way.To, bytes.Clone(data)})
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.hosts = append(w.hosts, h)
	}
	return w
}

// pair makes two hosts that know each other.
func pair(t testing.TB, seed byte) (w *world, a, b *host) {
	w = newWorld(t, 2, seed)
	a, b = w.hosts[0], w.hosts[1]
	a.knows(b, func(c *PeerConfig) { c.Endpoint = b.addr })
	b.knows(a, func(*PeerConfig) {})
	return w, a, b
}

func (h *host) knows(o *host, change func(*PeerConfig)) {
	h.w.t.Helper()
	c := PeerConfig{Public: o.Public(), Allowed: []netip.Prefix{netip.PrefixFrom(o.inner, 32)}}
	change(&c)
	if err := h.SetPeer(h.w.now, c); err != nil {
		h.w.t.Fatal(err)
	}
}

func (w *world) send(d datagram) {
	w.seen = append(w.seen, d)
	if w.carry == nil {
		w.queue = append(w.queue, d)
		return
	}
	w.queue = append(w.queue, w.carry(d)...)
}

// settle delivers what is due, and what that causes.
func (w *world) settle() {
	for range 100000 {
		next := -1
		for i, d := range w.queue {
			if d.at <= w.now && (next < 0 || d.at < w.queue[next].at) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		d := w.queue[next]
		w.queue = append(w.queue[:next], w.queue[next+1:]...)
		for _, h := range w.hosts {
			if h.addr == d.to {
				h.take(d)
			}
		}
	}
	w.t.Fatal("the engines never come to rest")
}

func (h *host) take(d datagram) {
	if len(d.data) == 0 {
		return
	}
	h.Receive(h.w.now, Way{To: d.from, From: h.called}, d.data, len(d.data), func(p []byte) { h.delivered = append(h.delivered, bytes.Clone(p)) })
}

// pass lets time go by, in the steps that the engines ask for.
func (w *world) pass(d time.Duration) {
	end := w.now + d
	for {
		w.settle()
		next := end
		for _, h := range w.hosts {
			if at, ok := h.Next(); ok && at < next {
				next = at
			}
		}
		for _, q := range w.queue {
			next = min(next, q.at)
		}
		w.now = max(w.now, next)
		for _, h := range w.hosts {
			h.Tick(w.now)
		}
		w.settle()
		if w.now >= end {
			return
		}
	}
}

// packet is an IPv4 packet with a number in it.
func packet(from, to netip.Addr, size int, number uint64) []byte {
	p := make([]byte, max(size, 28))
	p[0] = 0x45
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], from.AsSlice())
	copy(p[16:], to.AsSlice())
	binary.BigEndian.PutUint64(p[20:], number)
	for i := 28; i < len(p); i++ {
		p[i] = byte(uint64(i) * (number + 3))
	}
	return p
}

// says sends a packet and lets everything arrive.
func (h *host) says(o *host, number uint64) {
	h.w.t.Helper()
	if err := h.Transmit(h.w.now, packet(h.inner, o.inner, 100, number)); err != nil {
		h.w.t.Fatal(err)
	}
	h.w.settle()
}

// heard fails unless the numbers, and nothing else, were delivered since the last call.
func (h *host) heard(numbers ...uint64) {
	h.w.t.Helper()
	var got []uint64
	for _, p := range h.delivered {
		got = append(got, binary.BigEndian.Uint64(p[20:]))
	}
	h.delivered = nil
	if len(got) != len(numbers) {
		h.w.t.Fatalf("heard %v, want %v", got, numbers)
	}
	for i := range got {
		if got[i] != numbers[i] {
			h.w.t.Fatalf("heard %v, want %v", got, numbers)
		}
	}
}

// count returns how many messages of a kind were sent since the last call of forget.
func (w *world) count(kind int) (n int) {
	for _, d := range w.seen {
		if noise.Kind(d.data) == kind {
			n++
		}
	}
	return n
}

func (w *world) forget() { w.seen = nil }
