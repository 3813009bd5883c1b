package engine

import (
	"errors"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/crypt"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/pmtu"
)

// Errors of [Engine.Transmit] and [Engine.Route]. In each case the packet is dropped.
var (
	ErrNoPacket   = errors.New("not an IP packet")
	ErrNoPeer     = errors.New("no peer is allowed this address")
	ErrNoEndpoint = errors.New("the peer has not been heard of and has no endpoint")
	ErrTooLong    = errors.New("the packet is longer than the MTU")
)

// Route finds the peer that an inner packet is for, by its destination.
func (e *Engine) Route(packet []byte) (*Peer, error) {
	var p *Peer
	var ok bool
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		p, ok = e.routes.Lookup4(packet[16:])
	case len(packet) >= 40 && packet[0]>>4 == 6:
		p, ok = e.routes.Lookup16(packet[24:])
	default:
		return nil, ErrNoPacket
	}
	if !ok {
		return nil, ErrNoPeer
	}
	return p, nil
}

// Grant is leave to send packets: n counters from First on, by one key, by one
// way. It is used before anything else is asked of the engine.
type Grant struct {
	Key    *crypt.Key
	Remote uint32 // index for [noise.PutHeader]
	First  uint64
	Way
}

// large datagrams are longer than what every path takes.
const large = pmtu.Floor - 40 - 8

// Reserve takes n counters for data of p. bytes is the length of all datagrams
// together. Where it refuses, the packets go to [Engine.Stage].
func (e *Engine) Reserve(now time.Duration, p *Peer, n, bytes int) (Grant, bool) {
	g, ok := p.reserve(now, n, bytes)
	if ok {
		p.sent(now, true)
		if bytes > n*large {
			p.use(now)
		}
	}
	return g, ok
}

func (p *Peer) reserve(now time.Duration, n, bytes int) (Grant, bool) {
	s := p.current
	if !s.usable(now, n) || !p.endpoint.IsValid() {
		return Grant{}, false
	}
	g := Grant{s.send, s.remote, s.counter, p.way()}
	s.counter += uint64(n)
	p.tx += uint64(bytes)
	if s.stale(now) {
		p.initiate(now, false)
	}
	return g, true
}

// Stage keeps a copy of a packet until there are keys, and asks for them.
func (e *Engine) Stage(now time.Duration, p *Peer, packet []byte) error {
	if len(packet) > max(p.limit, e.config.MTU) {
		return ErrTooLong
	}
	if !p.endpoint.IsValid() {
		return ErrNoEndpoint
	}
	if len(p.staged) == maxStagedPeer {
		// What waits longest is least wanted.
		e.staged -= len(p.staged[0])
		p.staged = append(p.staged[:0], p.staged[1:]...)
	}
	if e.staged+len(packet) <= maxStagedBytes {
		p.staged = append(p.staged, append([]byte(nil), packet...))
		e.staged += len(packet)
	}
	p.initiate(now, false)
	return nil
}

// Transmit sends one inner packet, or keeps it until there are keys.
func (e *Engine) Transmit(now time.Duration, packet []byte) error {
	p, err := e.Route(packet)
	if err != nil {
		return err
	}
	if len(packet) > p.limit {
		return ErrTooLong
	}
	if !p.transmit(now, packet) {
		return e.Stage(now, p, packet)
	}
	return nil
}

// transmit sends one packet by the current session; an empty one is a keepalive.
func (p *Peer) transmit(now time.Duration, packet []byte) bool {
	return p.transport(now, packet, p.limit, len(packet) > 0)
}

// transport sends one transport message, padded up to limit at most. data says
// that the peer will answer, if only by a keepalive.
func (p *Peer) transport(now time.Duration, content []byte, limit int, data bool) bool {
	size := noise.HeaderSize + crypt.Padded(len(content), limit) + noise.TagSize
	if size > len(p.e.out) {
		return false
	}
	g, ok := p.reserve(now, 1, size)
	if !ok {
		return false
	}
	p.sent(now, data)
	out := p.e.out
	noise.PutHeader(out, g.Remote, g.First)
	n := g.Key.SealOne(out[noise.HeaderSize:], content, limit, g.First)
	p.e.config.Send(g.Way, out[:noise.HeaderSize+n])
	return true
}

// flush sends what waited, and reports whether anything did.
func (p *Peer) flush(now time.Duration) bool {
	staged := p.staged
	p.staged = nil
	for _, packet := range staged {
		p.e.staged -= len(packet)
		if len(packet) <= p.limit { // the path may have shrunk meanwhile
			p.transmit(now, packet)
		}
	}
	return len(staged) > 0
}

func (p *Peer) dropStaged() {
	for _, packet := range p.staged {
		p.e.staged -= len(packet)
	}
	p.staged = nil
}

// sendKeepalive sends an empty packet, or asks for the keys to do so.
func (p *Peer) sendKeepalive(now time.Duration) {
	if !p.transmit(now, nil) {
		p.initiate(now, false)
	}
}
