package engine

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// A peer that moves is followed, unless it is kept to its addresses: then what it
// sends from elsewhere is taken, and nothing is sent there.
func TestPinnedPeerIsNotFollowed(t *testing.T) {
	elsewhere := netip.MustParseAddrPort("198.51.100.9:9")
	for _, pinned := range []bool{false, true} {
		w, a, b := pair(t, 31)
		if pinned {
			a.knows(b, func(c *PeerConfig) { c.Pinned = []netip.AddrPort{b.addr} })
		}
		a.says(b, 1)
		b.heard(1)
		want := b.addr
		if !pinned {
			want = elsewhere
		}
		b.addr = elsewhere
		b.says(a, 2)
		a.heard(2)
		if got := a.Peers()[0].Endpoint; got != want {
			t.Errorf("pinned %t: the endpoint is %s, want %s", pinned, got, want)
		}
		w.forget()
		a.says(b, 3)
		if w.seen[0].to != want {
			t.Errorf("pinned %t: sent to %s, want %s", pinned, w.seen[0].to, want)
		}
	}
}

// All addresses of a peer are asked at once, with one and the same message, and
// the one that answers is used from then on; until it does not answer any more.
func TestPeerIsFoundAtAnyOfItsAddresses(t *testing.T) {
	w, a, b := pair(t, 32)
	dead := netip.MustParseAddrPort("198.51.100.9:9")
	completed := 0
	a.config.Completed = func(key.Public) { completed++ }
	a.knows(b, func(c *PeerConfig) { c.Endpoint, c.Pinned = dead, []netip.AddrPort{dead, b.addr} })
	a.Begin(w.now, b.Public())
	if len(w.seen) != 2 || w.seen[0].to != dead || w.seen[1].to != b.addr || !bytes.Equal(w.seen[0].data, w.seen[1].data) {
		t.Fatalf("sent %v", w.seen)
	}
	w.settle()
	if got := a.Peers()[0]; got.Endpoint != b.addr || got.LastHandshake.IsZero() || completed != 1 {
		t.Fatalf("peer %+v, %d handshakes told", got, completed)
	}
	// New keys are asked for where it was; only its silence asks everywhere.
	w.forget()
	w.pass(rekeyAfterTime)
	a.says(b, 1)
	b.heard(1)
	if completed != 2 || sentTo(w, dead) != 0 {
		t.Errorf("%d handshakes, %d messages to the address that is not its own", completed, sentTo(w, dead))
	}
	w.carry = func(datagram) []datagram { return nil }
	w.pass(rekeyAfterTime)
	a.says(b, 2)
	w.pass(2 * rekeyTimeout)
	if sentTo(w, dead) == 0 {
		t.Error("a peer that does not answer is not looked for elsewhere")
	}
}

func sentTo(w *world, to netip.AddrPort) (n int) {
	for _, d := range w.seen {
		if d.to == to {
			n++
		}
	}
	return n
}

// A peer that is at none of its addresses is silent, however often it is asked and
// whatever is sent to it; told of another one, the engine asks there at once.
func TestPeerThatMovedIsFoundWhenItsNewAddressIsTold(t *testing.T) {
	w, a, b := pair(t, 33)
	old, dead := b.addr, netip.MustParseAddrPort("198.51.100.9:9")
	var told []int
	a.config.Unanswered = func(k key.Public, inARow int) {
		if k != b.Public() {
			t.Errorf("told of %s", k)
		}
		told = append(told, inARow)
	}
	a.knows(b, func(c *PeerConfig) { c.Pinned = []netip.AddrPort{old} })
	a.says(b, 1)
	b.heard(1)
	b.addr = netip.MustParseAddrPort("192.0.2.99:1")
	w.pass(rejectAfterTime)
	// Data that comes in between begins anew and is no answer.
	for range 3 {
		if err := a.Transmit(w.now, packet(a.inner, b.inner, 100, 2)); err != nil {
			t.Fatal(err)
		}
		w.pass(rekeyTimeout + time.Second)
	}
	if !slices.Equal(told, []int{1, 2, 3}) || a.Peers()[0].Unanswered != 3 {
		t.Fatalf("unanswered: %v, and in all %d", told, a.Peers()[0].Unanswered)
	}
	b.heard()
	w.forget()
	places := []netip.AddrPort{dead, old, b.addr}
	a.knows(b, func(c *PeerConfig) { c.Pinned = places })
	a.Begin(w.now, b.Public())
	for _, to := range places {
		if sentTo(w, to) != 1 {
			t.Errorf("%d messages to %s, want one at once", sentTo(w, to), to)
		}
	}
	w.settle()
	b.heard(2, 2, 2)
	if got := a.Peers()[0]; got.Unanswered != 0 || got.Endpoint != b.addr {
		t.Errorf("peer %+v", got)
	}
	// The same places again are no reason to ask more often than the protocol says.
	b.addr = netip.MustParseAddrPort("192.0.2.98:1")
	w.pass(rejectAfterTime)
	if err := a.Transmit(w.now, packet(a.inner, b.inner, 100, 2)); err != nil {
		t.Fatal(err)
	}
	w.pass(rekeyTimeout + time.Second) // the second is under way
	w.forget()
	a.knows(b, func(c *PeerConfig) { c.Pinned = places })
	a.Begin(w.now, b.Public())
	if a.Peers()[0].Unanswered == 0 || len(w.seen) != 0 {
		t.Errorf("asked again at once: %d messages", len(w.seen))
	}
}
