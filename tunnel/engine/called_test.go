package engine

import (
	"net/netip"
	"testing"
	"time"
)

// What a peer called is where answers come from: handshakes, data and keepalives,
// until it calls another address or does not answer any more. A peer that is called
// itself leaves the choice to the routes.
func TestAnswersLeaveFromTheAddressThatThePeerCalled(t *testing.T) {
	_, a, b := pair(t, 51)
	first, second := netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("192.0.2.201")
	all := func(h *host, want netip.Addr, when string) {
		t.Helper()
		if len(h.as) == 0 {
			t.Errorf("%s nothing was sent", when)
		}
		for _, as := range h.as {
			if as != want {
				t.Errorf("%s sent from %v, want %v", when, as, want)
			}
		}
		h.as = nil
	}
	b.called, a.called = first, netip.MustParseAddr("192.0.2.100")
	a.says(b, 1)
	b.says(a, 2)
	all(b, first, "when the first address was called,")
	all(a, netip.Addr{}, "by the one that called,")
	b.called = second
	a.says(b, 3)
	b.as = nil
	b.says(a, 4)
	all(b, second, "when the second address was called,")
	b.w.pass(rekeyAfterTime)
	b.as = nil
	a.says(b, 5) // new keys
	b.w.pass(keepaliveTimeout + time.Second)
	all(b, second, "for new keys and a keepalive,")
	a.as = nil

	// The server begins, and its first attempt does not arrive: the address may be
	// of no use any more, or else the message was lost.
	b.w.pass(rejectAfterTime)
	b.w.carry = func(datagram) []datagram { return nil }
	if err := b.Transmit(b.w.now, packet(b.inner, a.inner, 100, 6)); err != nil {
		t.Fatal(err)
	}
	b.as = b.as[len(b.as)-1:]
	all(b, second, "at the first attempt")
	b.w.pass(rekeyTimeout + time.Second/2)
	all(b, netip.Addr{}, "at the second attempt")
	b.w.pass(rekeyTimeout + time.Second/2)
	all(b, second, "at the third attempt")
	// Where it answers, it is heard.
	b.w.carry, b.called = nil, first
	b.w.pass(rekeyTimeout + time.Second/2)
	b.as = nil
	b.says(a, 7)
	all(b, first, "after an answer")
}

// An address of one family is of no use for a peer of the other.
func TestPeerOfTheOtherFamilyIsNotAnsweredFromTheAddressThatItCalledBefore(t *testing.T) {
	w, a, b := pair(t, 52)
	b.called = netip.MustParseAddr("192.0.2.200")
	a.says(b, 1)
	six := netip.MustParseAddrPort("[2001:db8::9]:1")
	b.knows(a, func(c *PeerConfig) { c.Endpoint = six })
	b.as = nil
	b.says(a, 2)
	if d := w.seen[len(w.seen)-1]; d.to != six || len(b.as) != 1 || b.as[0].IsValid() {
		t.Errorf("sent to %s from %v", d.to, b.as)
	}
}
