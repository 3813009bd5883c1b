package engine

import (
	"bytes"
	"net/netip"
	"testing"

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
