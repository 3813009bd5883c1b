package engine

import (
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/noise"
)

func drop(datagram) []datagram { return nil }

func TestInitiatorRekeysUnderTrafficWithoutLoss(t *testing.T) {
	w, a, b := pair(t, 20)
	var want []uint64
	for n := range uint64(400) { // one packet a second
		a.says(b, n)
		want = append(want, n)
		b.says(a, n)
		w.pass(time.Second)
	}
	b.heard(want...)
	a.heard(want...)
	// At 0, 120, 240 and 360 seconds.
	if got := w.count(noise.TypeInitiation); got != 4 {
		t.Errorf("%d handshakes in 400 s, want 4", got)
	}
}

func TestReceiverThatOnlyReceivesRekeysInTime(t *testing.T) {
	w, a, b := pair(t, 21)
	a.says(b, 1)
	b.heard(1)
	w.forget()
	for n := range uint64(200) {
		b.says(a, n) // a began the session, so rekeying is a's task
		w.pass(time.Second)
	}
	if len(a.delivered) != 200 {
		t.Errorf("%d of 200 packets arrived", len(a.delivered))
	}
	if got := w.count(noise.TypeInitiation); got != 1 {
		t.Errorf("%d initiations, want one at 165 s", got)
	}
}

func TestUnansweredInitiatorGivesUpAndStartsAnew(t *testing.T) {
	w, a, b := pair(t, 22)
	w.carry = drop
	a.says(b, 1)
	w.pass(10 * time.Minute)
	if got := w.count(noise.TypeInitiation); got != 1+maxAttempts {
		t.Errorf("%d initiations, want %d", got, 1+maxAttempts)
	}
	if a.staged != 0 || a.wakes[0].handshake != nil {
		t.Error("packets or a handshake are kept after giving up")
	}
	w.carry = nil
	a.says(b, 2)
	b.heard(2)
}

func TestRetriesAreFiveSecondsApartWithJitter(t *testing.T) {
	w, a, b := pair(t, 23)
	w.carry = drop
	for n := range uint64(60) {
		a.says(b, n) // traffic must not make it faster
		w.pass(time.Second)
	}
	var last time.Duration
	for i, d := range w.seen {
		if gap := d.at - last; i > 0 && (gap < rekeyTimeout || gap > rekeyTimeout+time.Second/3) {
			t.Errorf("retry %d came after %s", i, gap)
		}
		last = d.at
	}
	if len(w.seen) < 11 {
		t.Errorf("%d attempts in a minute", len(w.seen))
	}
}

func TestKeepaliveAnswersDataThatIsNotAnswered(t *testing.T) {
	w, a, b := pair(t, 24)
	a.says(b, 1)
	w.forget()
	w.pass(keepaliveTimeout - time.Millisecond)
	if len(w.seen) != 0 {
		t.Errorf("%d datagrams before the time", len(w.seen))
	}
	w.pass(time.Second)
	if len(w.seen) != 1 || w.seen[0].from != b.addr || len(w.seen[0].data) != noise.TransportSize {
		t.Fatalf("sent %+v, want one keepalive of b", w.seen)
	}
	w.pass(90 * time.Second)
	if len(w.seen) != 1 {
		t.Errorf("keepalives answer each other: %d", len(w.seen))
	}
	b.heard(1)
}

func TestSilenceAfterDataAsksForNewKeys(t *testing.T) {
	w, a, b := pair(t, 25)
	a.says(b, 1)
	b.heard(1)
	w.carry = drop
	w.forget()
	a.says(b, 2)
	w.pass(14 * time.Second)
	if w.count(noise.TypeInitiation) != 0 {
		t.Error("asked before 15 s")
	}
	w.pass(2 * time.Second)
	if w.count(noise.TypeInitiation) != 1 {
		t.Error("did not ask after 15 s of silence")
	}
	w.carry = nil
	w.pass(10 * time.Second)
	a.says(b, 3)
	b.heard(3)
}

func TestPersistentKeepaliveKeepsThePathOpenFromTheStart(t *testing.T) {
	w, a, b := pair(t, 26)
	a.knows(b, func(c *PeerConfig) { c.Endpoint, c.Keepalive = b.addr, 25*time.Second })
	w.pass(time.Second)
	if a.Peers()[0].LastHandshake.IsZero() {
		t.Fatal("no handshake without traffic")
	}
	b.says(a, 1) // b learnt where a is
	a.heard(1)
	w.forget()
	w.pass(100 * time.Second)
	var times []time.Duration
	for _, d := range w.seen {
		if d.from == a.addr && len(d.data) == noise.TransportSize {
			times = append(times, d.at)
		}
	}
	if len(times) < 4 || len(times) > 5 {
		t.Errorf("keepalives at %v, want one in 25 s", times)
	}
}

func TestKeysEndWithTheirTime(t *testing.T) {
	w, a, b := pair(t, 27)
	a.says(b, 1)
	b.heard(1)
	w.pass(rejectAfterTime)
	for _, h := range w.hosts {
		if p := h.wakes[0]; p.current.usable(w.now, 1) {
			t.Error("a session is usable beyond its time")
		}
	}
	w.pass(eraseAfter)
	for _, h := range w.hosts {
		if p := h.wakes[0]; p.current != nil || p.previous != nil || p.next != nil || p.handshake != nil || len(h.indices) != 0 {
			t.Errorf("keys are kept after %s: %+v", w.now, p)
		}
	}
}

func TestSessionsEndWithTheirCounter(t *testing.T) {
	w, a, b := pair(t, 28)
	a.says(b, 1)
	b.heard(1)
	w.pass(6 * time.Second)
	p := a.wakes[0]
	w.forget()
	p.current.counter = rekeyAfterMessages - 1
	a.says(b, 2)
	if w.count(noise.TypeInitiation) != 1 {
		t.Error("no new keys after 2^60 messages")
	}
	w.pass(6 * time.Second)
	w.forget()
	p.current.counter = rejectAfterMessages - 1
	a.says(b, 3)
	if w.count(noise.TypeInitiation) != 1 || p.current.counter > 10 {
		t.Error("a session goes on after its last counter")
	}
	b.heard(2, 3)
}

func TestBothAtOnceAgreeOnASession(t *testing.T) {
	w, a, b := pair(t, 29)
	b.knows(a, func(c *PeerConfig) { c.Endpoint = a.addr })
	for _, h := range []struct{ from, to *host }{{a, b}, {b, a}} {
		if err := h.from.Transmit(w.now, packet(h.from.inner, h.to.inner, 60, 1)); err != nil {
			t.Fatal(err)
		}
	}
	w.settle()
	a.heard(1)
	b.heard(1)
	for n := range uint64(30) {
		a.says(b, n)
		b.says(a, n)
		a.heard(n)
		b.heard(n)
		w.pass(time.Second)
	}
	if got := w.count(noise.TypeInitiation); got != 2 {
		t.Errorf("%d initiations, want 2", got)
	}
}

func TestOldInitiationsAreNotAnsweredAgain(t *testing.T) {
	w, a, b := pair(t, 30)
	a.says(b, 1)
	first := w.seen[0]
	w.pass(3 * time.Minute)
	a.says(b, 2)
	b.heard(1, 2)
	w.pass(time.Second) // two initiations at once are refused for another reason
	w.forget()
	b.take(datagram{0, first.from, first.to, first.data})
	if len(w.seen) != 0 {
		t.Error("a replayed initiation was answered")
	}
}
