package interop

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
)

var errClosed = net.ErrClosed

const (
	oursAddr   = "192.0.2.1:1"
	theirsAddr = "192.0.2.2:2"
)

// bubble is both ends in memory, under a clock that jumps when all are idle:
// wireguard-go's timers run as if for hours.
func bubble(t *testing.T, quiet int, test func(t *testing.T, o *ours, w *theirs, m *memory)) {
	synctest.Test(t, func(t *testing.T) {
		o := newOurs(t, quiet)
		inbox := make(chan parcel, 4096)
		m := newMemory(theirsAddr, func(to netip.AddrPort, data []byte) {
			if to.String() == oursAddr {
				inbox <- parcel{netip.MustParseAddrPort(theirsAddr), data}
			}
		})
		stop := make(chan struct{})
		go func() {
			for {
				select {
				case p := <-inbox:
					o.receive(p.from, p.data)
				case <-stop:
					return
				}
			}
		}()
		t.Cleanup(func() { close(stop) })
		o.send = func(_ netip.AddrPort, data []byte) { m.give(netip.MustParseAddrPort(oursAddr), data) }
		w := newTheirs(t, m)
		test(t, o, w, m)
		synctest.Wait()
		if o.bad != 0 || w.bad != 0 {
			t.Errorf("%d and %d packets were altered", o.bad, w.bad)
		}
	})
}

func meet(t *testing.T, o *ours, w *theirs, c engine.PeerConfig) {
	t.Helper()
	c.Public = w.public
	c.Allowed = []netip.Prefix{netip.PrefixFrom(theirsInner, 32)}
	o.do(func() {
		if err := o.engine.SetPeer(o.now(), c); err != nil {
			t.Fatal(err)
		}
	})
}

func newPreshared(t *testing.T) key.Preshared {
	t.Helper()
	psk, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	return psk
}

// talk sends a packet a second each way and wants each of them once.
func talk(t *testing.T, o *ours, w *theirs, first, seconds uint64) {
	t.Helper()
	for n := first; n < first+seconds; n++ {
		o.say(t, n)
		w.say(n)
		time.Sleep(time.Second)
	}
	lost := 0
	for n := first; n < first+seconds; n++ {
		o.mu.Lock()
		w.mu.Lock()
		if o.heard[n] != 1 || w.heard[n] != 1 {
			lost++
		}
		w.mu.Unlock()
		o.mu.Unlock()
	}
	if lost > 0 {
		t.Errorf("%d of %d packets did not arrive exactly once both ways", lost, seconds)
	}
}

func TestWeRekeyUnderTrafficForAnHour(t *testing.T) {
	bubble(t, 0, func(t *testing.T, o *ours, w *theirs, _ *memory) {
		psk := newPreshared(t)
		w.knows(t, o, psk, "")
		meet(t, o, w, engine.PeerConfig{Preshared: psk, Endpoint: netip.MustParseAddrPort(theirsAddr)})
		o.say(t, 1_000_000)
		time.Sleep(time.Second)
		talk(t, o, w, 1, 3600)
		if n := o.count(o.sent, noise.TypeInitiation); n < 29 || n > 32 {
			t.Errorf("%d handshakes in an hour, want about 30", n)
		}
	})
}

func TestTheyRekeyUnderTrafficForAnHour(t *testing.T) {
	bubble(t, 0, func(t *testing.T, o *ours, w *theirs, _ *memory) {
		psk := newPreshared(t)
		w.knows(t, o, psk, oursAddr)
		meet(t, o, w, engine.PeerConfig{Preshared: psk})
		w.say(1_000_000)
		time.Sleep(time.Second)
		talk(t, o, w, 1, 3600)
		if n := o.count(o.received, noise.TypeInitiation); n < 29 || n > 32 {
			t.Errorf("%d handshakes in an hour, want about 30", n)
		}
	})
}

func TestWrongPresharedKeyIsRefusedByBoth(t *testing.T) {
	for _, weBegin := range []bool{true, false} {
		bubble(t, 0, func(t *testing.T, o *ours, w *theirs, _ *memory) {
			theirEnd, answers := "", o.received
			c := engine.PeerConfig{Preshared: newPreshared(t), Endpoint: netip.MustParseAddrPort(theirsAddr)}
			if !weBegin {
				theirEnd, answers, c.Endpoint = oursAddr, o.sent, netip.AddrPort{}
			}
			w.knows(t, o, newPreshared(t), theirEnd)
			meet(t, o, w, c)
			if weBegin {
				o.say(t, 1)
			} else {
				w.say(2)
			}
			time.Sleep(30 * time.Second)
			synctest.Wait()
			if o.count(o.received, noise.TypeTransport) != 0 || o.count(o.sent, noise.TypeTransport) != 0 || len(o.heard)+len(w.heard) != 0 {
				t.Error("there is a session with different preshared keys")
			}
			if o.count(answers, noise.TypeResponse) == 0 {
				t.Error("control: nobody answered, so the keys were not what failed")
			}
		})
	}
}

func TestKeepalivesKeepTheSessionAndThePath(t *testing.T) {
	bubble(t, 0, func(t *testing.T, o *ours, w *theirs, _ *memory) {
		w.knows(t, o, key.Preshared{}, "")
		meet(t, o, w, engine.PeerConfig{Endpoint: netip.MustParseAddrPort(theirsAddr), Keepalive: 25 * time.Second})
		time.Sleep(10 * time.Minute)
		// 24 keepalives, and one at the start of each session.
		if n := o.count(o.sent, noise.TypeTransport); n < 23 || n > 30 {
			t.Errorf("%d keepalives in ten minutes", n)
		}
		w.say(5)
		if !o.got(5) {
			t.Error("the path is not open")
		}
	})
}

func TestTheirKeepalivesReachUs(t *testing.T) {
	bubble(t, 0, func(t *testing.T, o *ours, w *theirs, _ *memory) {
		w.knows(t, o, key.Preshared{}, oursAddr, "persistent_keepalive_interval=25")
		meet(t, o, w, engine.PeerConfig{})
		time.Sleep(10 * time.Minute)
		if n := o.count(o.received, noise.TypeTransport); n < 23 || n > 30 {
			t.Errorf("%d keepalives in ten minutes", n)
		}
		o.say(t, 5) // we know where they are by their keepalives alone
		if !w.got(5) {
			t.Error("the path is not open")
		}
	})
}

// strangers makes initiations with a right MAC1 by peers that nobody knows.
func strangers(t *testing.T, public key.Public, n int) [][]byte {
	t.Helper()
	var out [][]byte
	random, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Private: random, Send: func(_ engine.Way, d []byte) { out = append(out, append([]byte(nil), d...)) }})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Hour
	for len(out) < n {
		if err := e.SetPeer(now, engine.PeerConfig{Public: public, Endpoint: netip.MustParseAddrPort("192.0.2.9:9"), Keepalive: time.Second}); err != nil {
			t.Fatal(err)
		}
		e.Tick(now)
		now += 6 * time.Second
	}
	return out
}

func TestTheyAskUsForACookieUnderLoad(t *testing.T) {
	bubble(t, 0, func(t *testing.T, o *ours, w *theirs, m *memory) {
		w.knows(t, o, key.Preshared{}, "")
		meet(t, o, w, engine.PeerConfig{Endpoint: netip.MustParseAddrPort(theirsAddr)})
		flood := strangers(t, w.public, 1500)
		attack := func() {
			for _, f := range flood {
				m.give(netip.MustParseAddrPort("192.0.2.9:9"), f)
			}
		}
		attack()
		synctest.Wait() // their queue is empty again, and they stay under load for a second
		o.say(t, 1)
		synctest.Wait()
		if o.received[noise.TypeCookie] != 1 || o.received[noise.TypeResponse] != 0 {
			t.Fatalf("received %v, want a cookie and no response", o.received)
		}
		// Not at our end's own moments: a second attempt in the same instant would
		// find their queue full, and the third comes after this.
		time.Sleep(tick / 2)
		for range 80 { // the second attempt comes while the attack goes on
			time.Sleep(100 * time.Millisecond)
			attack()
			synctest.Wait()
		}
		if w.heard[1] != 1 || o.received[noise.TypeResponse] != 1 {
			t.Errorf("the cookie did not help: received %v", o.received)
		}
	})
}

func TestWeAskThemForACookieUnderLoad(t *testing.T) {
	bubble(t, 5, func(t *testing.T, o *ours, w *theirs, _ *memory) {
		w.knows(t, o, key.Preshared{}, oursAddr)
		meet(t, o, w, engine.PeerConfig{})
		flood := strangers(t, o.engine.Public(), 20)
		attack := func() {
			for _, f := range flood {
				o.receive(netip.MustParseAddrPort("192.0.2.9:9"), append([]byte(nil), f...))
			}
		}
		o.mu.Lock()
		o.send = func(send func(netip.AddrPort, []byte)) func(netip.AddrPort, []byte) {
			return func(to netip.AddrPort, d []byte) {
				if to.String() == theirsAddr {
					send(to, d)
				}
			}
		}(o.send)
		o.mu.Unlock()
		attack()
		w.say(1)
		synctest.Wait()
		if o.sent[noise.TypeCookie] < 1 || o.sent[noise.TypeResponse] != 0 {
			t.Fatalf("sent %v, want a cookie and no response", o.sent)
		}
		for range 80 {
			time.Sleep(100 * time.Millisecond)
			attack()
			synctest.Wait()
		}
		if o.heard[1] != 1 || o.sent[noise.TypeResponse] != 1 {
			t.Errorf("their cookie did not help: sent %v, received %v", o.sent, o.received)
		}
	})
}
