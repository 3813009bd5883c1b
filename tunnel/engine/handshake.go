package engine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
)

// initiate asks for new keys, at most once in rekeyTimeout. A retry counts
// against the attempts; new data starts them anew.
func (p *Peer) initiate(now time.Duration, retry bool) {
	if !retry {
		p.attempts = 0
	}
	if !p.endpoint.IsValid() || now-p.initiated < rekeyTimeout {
		return
	}
	p.dropHandshake()
	p.initiated = now
	p.arm(retransmit, now+rekeyTimeout+p.e.jitter())
	index, err := p.e.newIndex(target{peer: p})
	if err != nil {
		return // no randomness now; the timer tries again
	}
	var msg [noise.InitiationSize]byte
	p.stamped = noise.NewTimestamp(p.e.config.Wall(), p.stamped)
	p.handshake, err = p.e.local.Initiate(p.remote, index, p.stamped, p.e.config.Random, &msg)
	if err != nil {
		delete(p.e.indices, index)
		return
	}
	p.handshakeIndex = index
	p.stamper.Stamp(msg[:], now)
	p.sent(now, false)
	way := p.way()
	if p.unanswered%2 == 1 {
		way.From = netip.Addr{} // the address that was called may have no way there any more
	}
	p.send(way, msg[:])
	if !retry && !p.finished.IsZero() && p.unanswered == 0 {
		return
	}
	// Where it is, is not known: it answers the first of these that arrives, for
	// the others are replays to it, and is where its answer came from.
	for _, to := range p.pinned {
		if to != p.endpoint {
			p.tx += uint64(len(msg))
			p.e.config.Send(Way{To: to}, msg[:])
		}
	}
}

// send hands a datagram to the peer over.
func (p *Peer) send(way Way, datagram []byte) {
	p.tx += uint64(len(datagram))
	p.e.config.Send(way, datagram)
}

// way is where the peer is, and as whom it knows us.
func (p *Peer) way() Way { return Way{To: p.endpoint, From: p.called} }

// gateOpen checks MAC1 and, under load, MAC2 of an initiation or response.
func (e *Engine) gateOpen(now time.Duration, back Way, msg []byte) bool {
	switch e.gate.judge(now, back.To.Addr(), func() bool { return e.checker.MAC2(msg, back.To, now) }) {
	case admit:
		return true
	case askCookie:
		var reply [noise.CookieSize]byte
		if e.checker.Reply(msg, back.To, now, &reply) == nil {
			e.config.Send(back, reply[:])
		}
	case refuse:
	}
	return false
}

// takeInitiation answers a peer that asks for keys. The order of its steps is
// that of their cost to us and to a forger.
func (e *Engine) takeInitiation(now time.Duration, back Way, msg *[noise.InitiationSize]byte) {
	if !e.checker.MAC1(msg[:]) || !e.gateOpen(now, back, msg[:]) {
		return
	}
	r, err := e.local.Open(msg)
	if err != nil {
		return
	}
	p := e.peers[r.Peer()]
	if p == nil || now-p.answered < initiationGap {
		return
	}
	stamp, err := r.Verify(p.remote)
	if err != nil || !stamp.After(p.greatest) {
		return
	}
	p.greatest, p.answered = stamp, now
	p.meet(now, back, true)
	p.rx += uint64(len(msg))
	p.received(now, false)
	// The index is that of the session to come, so it is taken first.
	s := &session{}
	index, err := e.newIndex(target{p, s})
	if err != nil {
		return
	}
	var answer [noise.ResponseSize]byte
	keys, err := r.Answer(p.remote, index, e.config.Random, &answer)
	if err == nil {
		var made *session
		if made, err = newSession(p, index, &keys, now, false); err == nil {
			*s = *made
		}
	}
	if err != nil {
		delete(e.indices, index)
		return
	}
	// previous stays: where both ends began at once, it is what the peer sends by.
	e.drop(p.next)
	p.next = s
	p.stamper.Stamp(answer[:], now)
	p.arm(erase, now+eraseAfter)
	p.sent(now, false)
	p.send(p.way(), answer[:])
}

// takeResponse ends a handshake that we began.
func (e *Engine) takeResponse(now time.Duration, back Way, msg *[noise.ResponseSize]byte) {
	t := e.indices[noise.Receiver(msg[:])]
	if t.peer == nil || t.session != nil || !e.checker.MAC1(msg[:]) || !e.gateOpen(now, back, msg[:]) {
		return
	}
	p := t.peer
	keys, err := p.handshake.Finish(e.local, msg)
	if err != nil {
		return
	}
	s, err := newSession(p, p.handshakeIndex, &keys, now, true)
	if err != nil {
		return
	}
	e.indices[p.handshakeIndex] = target{p, s}
	p.handshake.Erase()
	p.handshake = nil // its index is the session's now
	// A session that waits for its first packet may have one under way.
	e.drop(p.previous)
	if p.next != nil {
		e.drop(p.current)
		p.previous, p.next = p.next, nil
	} else {
		p.previous = p.current
	}
	p.current = s
	p.meet(now, back, p.called.IsValid())
	p.rx += uint64(len(msg))
	p.received(now, false)
	p.arm(erase, now+eraseAfter)
	p.complete()
	// The peer may send only after it received something by the new keys.
	if !p.flush(now) {
		p.sendKeepalive(now)
	}
	p.began(now)
}

// complete notes that a handshake was completed by both, and ends one of ours
// that crossed it.
func (p *Peer) complete() {
	p.dropHandshake()
	p.attempts, p.unanswered = 0, 0
	p.disarm(retransmit)
	p.finished = p.e.config.Wall()
	if p.e.config.Completed != nil {
		p.e.config.Completed(p.public)
	}
}

// Begin asks a peer for keys without having anything to send.
func (e *Engine) Begin(now time.Duration, k key.Public) {
	if p := e.peers[k]; p != nil {
		p.initiate(now, false)
	}
}

// meet notes where an authentic message came from: there the peer is now, if it
// may be there. calls says that it is the peer who chose which address of ours it
// speaks to; where it only answers, the routes chose, and may choose another.
func (p *Peer) meet(now time.Duration, back Way, calls bool) {
	if len(p.pinned) > 0 && !slices.Contains(p.pinned, back.To) {
		return
	}
	p.move(now, back.To)
	if calls {
		p.called = back.From
	}
}

// move gives the peer an address. Another port of the same one is the same path.
func (p *Peer) move(now time.Duration, to netip.AddrPort) {
	if p.endpoint == to {
		return
	}
	other := p.endpoint.Addr() != to.Addr()
	p.called = netip.Addr{}
	if p.endpoint = to; other {
		p.moved(now)
	}
}

// takeCookie reads the answer of a peer under load. The next attempt, which the
// timer makes, will carry the proof.
func (e *Engine) takeCookie(now time.Duration, msg *[noise.CookieSize]byte) {
	t := e.indices[noise.Receiver(msg[:])]
	if t.peer == nil {
		return
	}
	if t.peer.stamper.Take(msg, now) == nil {
		t.peer.rx += uint64(len(msg))
	}
}
