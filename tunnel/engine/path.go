package engine

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/fit"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/pmtu"
)

// Overhead is what the tunnel adds to an inner packet on its way to an address:
// an outer header of 20 or 40 bytes, 8 of UDP, 32 of the transport message.
func Overhead(to netip.Addr) int {
	if to.Is6() && !to.Is4In6() {
		return 40 + 8 + noise.TransportSize
	}
	return 20 + 8 + noise.TransportSize
}

// quotable is how far behind the newest a counter may be that a router quotes:
// a second of the fastest sender.
const quotable = 1 << 20

// Limit is the largest inner packet that p's path takes, as far as known.
func (e *Engine) Limit(p *Peer) int { return p.limit }

// MTU is the largest inner packet for all peers alike, which the TUN device's
// MTU is to be. It changes with their paths; it stays at 1280 where IPv6 is
// inside, for less would take IPv6 from the device.
func (e *Engine) MTU() int { return e.mtu }

// limits are the first and the largest size of outer packets to an address.
func (e *Engine) limits(to netip.Addr) (first, ceiling int) {
	first = e.config.MTU + Overhead(to)
	if e.auto {
		return first, pmtu.Ceiling
	}
	return first, first
}

// moved is called when the peer has another address: its path is another one.
func (p *Peer) moved(now time.Duration) {
	if !p.e.config.Probe || !p.endpoint.IsValid() {
		return
	}
	p.path = pmtu.New(p.e.limits(p.endpoint.Addr()))
	if p.current != nil {
		p.path.Begin(now)
	}
	p.follow()
}

// began is called when there are new keys.
func (p *Peer) began(now time.Duration) {
	if p.e.config.Probe {
		p.path.Begin(now)
		p.e.refit() // this peer counts from now on
		p.follow()
	}
}

// follow does what the search asks for after it was told something.
func (p *Peer) follow() {
	if !p.e.config.Probe || !p.endpoint.IsValid() {
		return
	}
	if limit := p.path.Size() - Overhead(p.endpoint.Addr()); limit != p.limit {
		p.limit = limit
		p.e.refit()
	}
	if next := p.path.Next(); next == pmtu.Never {
		p.disarm(probe)
	} else {
		p.arm(probe, next)
	}
}

// refit finds the MTU that fits all peers that were ever heard of.
func (e *Engine) refit() {
	mtu := 0
	for _, p := range e.peers {
		if p.endpoint.IsValid() && !p.finished.IsZero() && (mtu == 0 || p.limit < mtu) {
			mtu = p.limit
		}
	}
	if mtu == 0 {
		mtu = e.config.MTU
	}
	if e.routes.Any6() {
		mtu = max(mtu, min(fit.Least, e.config.MTU))
	}
	e.mtu = mtu
}

// search is called when the probe timer ends.
func (p *Peer) search(now time.Duration) {
	if pair, ok := p.path.Due(now); ok {
		size := pair.Size - Overhead(p.endpoint.Addr())
		if !p.whisper(now, pmtu.Message{ID: pair.ID, Size: size}) || !p.whisper(now, pmtu.Message{ID: pair.ID, Size: pmtu.MessageSize}) {
			p.path.Stop(now)
		}
	}
	p.follow()
}

// whisper sends what is no packet: a probe or its acknowledgement. The peer owes
// no answer to it, so the protocol's timers do not wait for one.
func (p *Peer) whisper(now time.Duration, m pmtu.Message) bool {
	content := m.Put(p.e.content)
	return p.transport(now, content, len(content), false)
}

// hear takes what a peer whispered.
func (p *Peer) hear(now time.Duration, m pmtu.Message) {
	if !m.Ack {
		p.whisper(now, pmtu.Message{Ack: true, ID: m.ID, Size: m.Size})
		return
	}
	if !p.e.config.Probe {
		return
	}
	size := 0
	if m.Size > pmtu.MessageSize {
		size = min(m.Size, MaxMTU) + Overhead(p.endpoint.Addr())
	}
	p.path.Acked(now, m.ID, size)
	p.follow()
}

// use notes that large packets go out. It is called for every run of them.
func (p *Peer) use(now time.Duration) {
	if p.path.Use(now) {
		p.arm(probe, p.path.Next())
	}
}

// TooBig is called for what a router said of a datagram, or the own host
// (local), where the port may be missing. A router is believed only if it
// quotes enough of a datagram that was sent not long ago: the peer's random
// index and a counter, which only those know who see the packets. One that
// quotes less makes the path be asked.
func (e *Engine) TooBig(now time.Duration, to netip.AddrPort, mtu int, local bool, quoted []byte) {
	if !e.config.Probe {
		return
	}
	to = unmap(to)
	for _, p := range e.peers {
		if p.endpoint.Addr() != to.Addr() || !local && p.endpoint.Port() != to.Port() {
			continue
		}
		switch {
		case local && mtu > 0, mtu > 0 && p.wrote(quoted):
			p.path.TooBig(now, mtu)
		case len(quoted) < noise.HeaderSize || mtu == 0:
			p.path.Suspect(now)
		default:
			continue
		}
		p.follow()
	}
}

// wrote reports whether a datagram begins like one that we sent by a session.
func (p *Peer) wrote(b []byte) bool {
	if len(b) < noise.HeaderSize || binary.LittleEndian.Uint32(b) != noise.TypeTransport {
		return false
	}
	c := noise.Counter(b)
	for _, s := range [...]*session{p.current, p.previous, p.next} {
		if s != nil && s.remote == noise.Receiver(b) && c < s.counter && s.counter-c <= quotable {
			return true
		}
	}
	return false
}
