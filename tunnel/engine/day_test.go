package engine

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// day is one server and its clients over a fake clock:
//
//	client n  10.x.y.z  192.0.2.1:n  ----  server  10.0.0.1  192.0.2.1:1
type day struct {
	t       *testing.T
	now     time.Duration
	server  *Engine
	clients []*Engine
	keys    []key.Public
	queue   []datagram
	arrived int
	shaken  int // handshakes
}

const (
	dayPeers  = 1000
	dayRounds = 10
)

func dayAddr(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), uint16(1+n))
}

// dayInner is a client's inner address; n counts from 1, 0 is the server.
func dayInner(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)})
}

func (d *day) engine(n int) *Engine {
	d.t.Helper()
	random := source{rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), 7})}
	private, err := key.NewPrivate(random)
	if err != nil {
		d.t.Fatal(err)
	}
	e, err := New(Config{
		Private: private, Random: random,
		Wall: func() time.Time { return time.Unix(1_700_000_000, 0).Add(d.now) },
		Send: func(way Way, data []byte) {
			d.queue = append(d.queue, datagram{from: dayAddr(n), to: way.To, data: append([]byte(nil), data...)})
		},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return e
}

// settle delivers what is under way, and what that causes.
func (d *day) settle() {
	for len(d.queue) > 0 {
		q := d.queue
		d.queue = nil
		for _, g := range q {
			e := d.server
			if n := int(g.to.Port()) - 1; n > 0 {
				e = d.clients[n-1]
			}
			e.Receive(d.now, Way{To: g.from}, g.data, len(g.data), func([]byte) { d.arrived++ })
		}
	}
}

// pass lets time go by and looks at every engine's timers in steps.
func (d *day) pass(length, step time.Duration) {
	for end := d.now + length; d.now < end; {
		d.now += step
		d.server.Tick(d.now)
		for _, c := range d.clients {
			if next, ok := c.Next(); ok && next <= d.now {
				c.Tick(d.now)
			}
		}
		d.settle()
	}
}

func (d *day) peer(n int) PeerChange {
	return PeerChange{Public: d.keys[n-1], Allowed: []AllowedChange{{Prefix: netip.PrefixFrom(dayInner(n), 32)}}}
}

// round: every client speaks and is answered, while peers are taken out and put
// back; then all are silent until their keys have ended.
func (d *day) round(round int) {
	d.t.Helper()
	var out []int // taken out, and to be put back
	for n := 1; n <= dayPeers; n++ {
		if n%10 == 0 {
			d.now += 100 * time.Millisecond // 100 handshakes a second are not yet load
		}
		if n%20 == round {
			d.change(Change{Peers: []PeerChange{{Public: d.keys[n-1], Remove: true}}})
			out = append(out, n)
		}
		before := d.arrived
		d.speak(d.clients[n-1], dayInner(n), dayInner(0))
		if n%20 == round {
			if d.arrived != before {
				d.t.Fatalf("round %d: a peer that is gone was heard", round)
			}
			d.change(Change{Peers: []PeerChange{d.peer(n)}})
			continue
		}
		d.speak(d.server, dayInner(0), dayInner(n))
		if d.arrived != before+2 {
			d.t.Fatalf("round %d: client %d: %d of 2 packets arrived", round, n, d.arrived-before)
		}
	}
	before := d.arrived
	d.pass(20*time.Second, time.Second) // those who were out try again
	if got := d.arrived - before; got != len(out) {
		d.t.Fatalf("round %d: of %d that came back %d were heard", round, len(out), got)
	}
	for _, p := range d.server.Peers() {
		if d.now-time.Duration(p.LastHandshake.Sub(time.Unix(1_700_000_000, 0))) < 5*time.Minute {
			d.shaken++
		}
	}
	d.pass(144*time.Minute-3*time.Minute, 10*time.Second)
}

func (d *day) change(c Change) {
	d.t.Helper()
	if err := d.server.Apply(d.now, c); err != nil {
		d.t.Fatal(err)
	}
}

func (d *day) speak(e *Engine, from, to netip.Addr) {
	d.t.Helper()
	if err := e.Transmit(d.now, packet(from, to, 100, 1)); err != nil {
		d.t.Fatal(err)
	}
	d.settle()
}

// size is the heap in use.
func size() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A day with 1000 peers and 10,000 handshakes, peers taken out and put back
// under traffic: everybody is heard, and the second half of the day leaves no
// more behind than the first.
func TestADayWithAThousandPeersLeavesNothingBehind(t *testing.T) {
	d := &day{t: t, now: time.Hour}
	d.server = d.engine(0)
	var all Change
	for n := 1; n <= dayPeers; n++ {
		c := d.engine(n)
		to := dayAddr(0)
		d.clients, d.keys = append(d.clients, c), append(d.keys, c.Public())
		if err := c.Apply(d.now, Change{Peers: []PeerChange{{Public: d.server.Public(), Endpoint: &to, Allowed: []AllowedChange{{Prefix: netip.MustParsePrefix("10.0.0.1/8")}}}}}); err != nil {
			t.Fatal(err)
		}
		all.Peers = append(all.Peers, d.peer(n))
	}
	d.change(all)
	routines := runtime.NumGoroutine()
	var half uint64
	for round := range dayRounds {
		d.round(round)
		if len(d.server.indices) != 0 || d.server.staged != 0 || len(d.server.wakes) != dayPeers || len(d.server.peers) != dayPeers {
			t.Fatalf("round %d: %d indices, %d bytes staged, %d timers, %d peers are left", round, len(d.server.indices), d.server.staged, len(d.server.wakes), len(d.server.peers))
		}
		if round == dayRounds/2-1 {
			half = size()
		}
	}
	now := size()
	t.Logf("%d handshakes, %d packets in %s; heap %d KiB at noon, %d KiB in the evening", d.shaken, d.arrived, d.now-time.Hour, half>>10, now>>10)
	if d.shaken < dayPeers*dayRounds {
		t.Errorf("only %d handshakes", d.shaken)
	}
	// A leak of one hundred bytes a handshake would be 500 KiB.
	if now > half+256<<10 {
		t.Errorf("the heap grew from %d to %d bytes", half, now)
	}
	if got := runtime.NumGoroutine(); got > routines {
		t.Errorf("%d goroutines, then %d", routines, got)
	}
	runtime.KeepAlive(d)
}
