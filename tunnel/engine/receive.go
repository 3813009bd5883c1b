package engine

import (
	"encoding/binary"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/fit"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/pmtu"
)

// MaxRun is how many datagrams are opened together at most.
const MaxRun = 128

// run is where the counters and results of datagrams opened together stand.
type run struct {
	counters [MaxRun]uint64
	ok       [MaxRun]bool
}

// Receive takes what arrived, and by which way answers go back: datagrams of size bytes each that
// follow each other in buf, the last one shorter or equal (as UDP_GRO hands
// them over; a single datagram has size len(buf)). It overwrites buf. Each
// inner packet that is authentic, fresh and from an address that its peer may
// use goes to deliver, in place.
func (e *Engine) Receive(now time.Duration, back Way, buf []byte, size int, deliver func(packet []byte)) {
	if size <= 0 {
		return
	}
	back.To = unmap(back.To)
	for len(buf) > 0 {
		one := buf[:min(size, len(buf))]
		switch noise.Kind(one) {
		case noise.TypeTransport:
			n := e.takeTransport(now, back, buf, len(one), deliver)
			buf = buf[min(n*size, len(buf)):]
			continue
		case noise.TypeInitiation:
			e.takeInitiation(now, back, (*[noise.InitiationSize]byte)(one))
		case noise.TypeResponse:
			e.takeResponse(now, back, (*[noise.ResponseSize]byte)(one))
		case noise.TypeCookie:
			e.takeCookie(now, (*[noise.CookieSize]byte)(one))
		}
		buf = buf[len(one):]
	}
}

// takeTransport opens the datagrams at the start of buf that belong to one
// session, and returns how many it was done with: at least one.
func (e *Engine) takeTransport(now time.Duration, back Way, buf []byte, size int, deliver func([]byte)) int {
	receiver := noise.Receiver(buf)
	s := e.indices[receiver].session
	if s == nil || now-s.created >= rejectAfterTime {
		return 1
	}
	n := 0
	for n < MaxRun && (n+1)*size <= len(buf) {
		one := buf[n*size : (n+1)*size]
		if noise.Kind(one) != noise.TypeTransport || noise.Receiver(one) != receiver {
			break
		}
		c := noise.Counter(one)
		if c >= rejectAfterMessages || !s.window.Fresh(c) {
			break
		}
		e.run.counters[n] = c
		n++
	}
	if n == 0 {
		return 1
	}
	s.receive.Open(buf[noise.HeaderSize:], size, size-noise.HeaderSize, e.run.counters[:n], e.run.ok[:n])
	for i := range n {
		if e.run.ok[i] && s.receive != nil && s.window.Take(e.run.counters[i]) {
			packet := buf[i*size+noise.HeaderSize : (i+1)*size-noise.TagSize]
			e.accept(now, back, s, packet, size, deliver)
		}
	}
	return n
}

// accept takes an authentic and fresh packet.
func (e *Engine) accept(now time.Duration, back Way, s *session, packet []byte, size int, deliver func([]byte)) {
	p := s.peer
	p.rx += uint64(size)
	p.meet(now, back, !s.initiator)
	if s == p.next {
		// The first packet proves that the initiator has the keys.
		e.drop(p.previous)
		p.previous, p.current, p.next = p.current, s, nil
		p.complete()
		p.flush(now)
		p.began(now)
	}
	whispered, ok := pmtu.Parse(packet)
	p.received(now, len(packet) > 0 && !ok)
	if s == p.current && s.initiator && !s.asked && now-s.created >= lateRekey {
		s.asked = true
		p.initiate(now, false)
	}
	if ok {
		p.hear(now, whispered)
		return
	}
	if inner, ok := e.inner(p, packet); ok {
		// What the other side accepts is more than the path takes.
		fit.Clamp(inner, p.limit)
		deliver(inner)
	}
}

// inner cuts the padding off and checks that p may be the source.
func (e *Engine) inner(p *Peer, packet []byte) ([]byte, bool) {
	var length int
	var owner *Peer
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		length = int(binary.BigEndian.Uint16(packet[2:]))
		if length < 20 {
			return nil, false
		}
		owner, _ = e.routes.Lookup4(packet[12:])
	case len(packet) >= 40 && packet[0]>>4 == 6:
		length = 40 + int(binary.BigEndian.Uint16(packet[4:]))
		owner, _ = e.routes.Lookup16(packet[8:])
	}
	if owner != p || length == 0 || length > len(packet) {
		return nil, false
	}
	return packet[:length], true
}
