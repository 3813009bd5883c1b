package interop

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
)

var (
	oursInner   = netip.MustParseAddr("10.0.0.1")
	theirsInner = netip.MustParseAddr("10.0.0.2")
)

// ours is an engine with a clock that the test can move forward.
type ours struct {
	mu       sync.Mutex
	engine   *engine.Engine
	private  key.Private
	start    time.Time
	ahead    time.Duration // of the true time
	heard    map[uint64]int
	bad      int
	sent     map[int]int // by kind
	received map[int]int
	send     func(to netip.AddrPort, data []byte)
	socket   *net.UDPConn // where there is one
}

func newOurs(t *testing.T, quiet int) *ours {
	t.Helper()
	o := &ours{start: time.Now().Add(-time.Hour), heard: map[uint64]int{}, sent: map[int]int{}, received: map[int]int{}}
	var err error
	if o.private, err = key.NewPrivate(nil); err != nil {
		t.Fatal(err)
	}
	o.engine, err = engine.New(engine.Config{
		Private: o.private, Quiet: quiet,
		Wall: func() time.Time { return time.Now().Add(o.ahead) },
		Send: func(way engine.Way, data []byte) {
			o.sent[noise.Kind(data)]++
			o.send(way.To, data)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(tick):
				o.do(func() { o.engine.Tick(o.now()) })
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-done })
	return o
}

// tick is how often our end looks at its timers.
const tick = 20 * time.Millisecond

func (o *ours) do(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *ours) now() time.Duration { return time.Since(o.start) + o.ahead }

// skip moves our clock only: our timers run out, theirs do not.
func (o *ours) skip(d time.Duration) { o.do(func() { o.ahead += d }) }

func (o *ours) receive(from netip.AddrPort, data []byte) {
	o.do(func() {
		o.received[noise.Kind(data)]++
		o.engine.Receive(o.now(), engine.Way{To: from}, data, len(data), func(p []byte) {
			n, ok := number(p)
			if !ok {
				o.bad++
			}
			o.heard[n]++
		})
	})
}

func (o *ours) say(t *testing.T, n uint64) {
	t.Helper()
	o.do(func() {
		if err := o.engine.Transmit(o.now(), packet(oursInner, theirsInner, n)); err != nil {
			t.Error(err)
		}
	})
}

func (o *ours) count(m map[int]int, kind int) (n int) {
	o.do(func() { n = m[kind] })
	return n
}

// got waits for a packet; real sockets take their time.
func (o *ours) got(n uint64) bool { return within(func() bool { return o.has(n) }) }

func (o *ours) has(n uint64) (ok bool) {
	o.do(func() { ok = o.heard[n] == 1 })
	return ok
}

func within(f func() bool) bool {
	for range 200 {
		if f() {
			return true
		}
		time.Sleep(25 * time.Millisecond)
	}
	return false
}

// packet is an IPv4 packet with a number and bytes that follow from it.
func packet(from, to netip.Addr, n uint64) []byte {
	p := make([]byte, 28+n*37%1390)
	p[0] = 0x45
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[8], p[9] = 64, 253 // a protocol for experiments
	copy(p[12:], from.AsSlice())
	copy(p[16:], to.AsSlice())
	binary.BigEndian.PutUint64(p[20:], n)
	for i := 28; i < len(p); i++ {
		p[i] = byte(n + uint64(i)*7)
	}
	return p
}

// number reads a packet back and reports whether every byte is as it was sent.
func number(p []byte) (uint64, bool) {
	if len(p) < 28 {
		return 0, false
	}
	n := binary.BigEndian.Uint64(p[20:])
	return n, bytes.Equal(p, packet(netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), n))
}
