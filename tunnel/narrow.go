package tunnel

import (
	"encoding/binary"
	"errors"

	"github.com/vpnguard/vpnguard/tunnel/crypt"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/fit"
	"github.com/vpnguard/vpnguard/tunnel/gso"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/udp"
)

// What is here happens when packets are longer than their peer's path takes:
// for moments after the path shrank, and where one device serves peers with
// narrower paths than its own MTU says.

// squeeze sends segments that are too long for limit in another form: TCP in
// smaller segments, others in fragments inside the tunnel where that may be.
// Where neither goes, the sender is told.
func (p *pump) squeeze(peer *engine.Peer, s gso.Segments, limit int) {
	if cut, ok := gso.Cut(s.Buf, p.cuts, limit); ok {
		p.flush()
		// Once is enough: what is too long again is lost, and TCP repeats it.
		before := p.rescuing
		p.rescuing = true
		p.segments(peer, cut, limit)
		p.rescuing = before
		return
	}
	for i := range s.Count {
		packet := s.Buf
		if s.Head > 0 {
			packet = s.Copy(p.scratch, i)
		}
		p.squeezeOne(peer, packet, limit)
	}
}

func (p *pump) squeezeOne(peer *engine.Peer, packet []byte, limit int) {
	if len(packet) <= limit {
		p.single(peer, packet, limit)
		return
	}
	p.fragments++
	if fit.Fragment(p.piece, packet, limit, p.fragments, func(b []byte) { p.single(peer, b, limit) }) {
		return
	}
	p.drops.TooBig++
	if answer := fit.TooBig(p.piece, packet, limit); answer != nil {
		var none [gso.HeaderSize]byte
		_ = p.tun.Write([][]byte{none[:], answer}) // whoever asked asks again
	}
}

// rescue takes datagrams back that the own link was too narrow for, and sends
// their packets as they fit now. It opens what it sealed, which happens once
// when a link's MTU changes.
func (p *pump) rescue(peer *engine.Peer, key *crypt.Key, buf []byte, size int) {
	p.troubles()
	limit := p.engine.Limit(peer)
	if size-noise.TransportSize <= limit || p.rescuing {
		p.drops.Unsent++
		return
	}
	// The batch's buffer is used again by what follows.
	kept := append([]byte(nil), buf...)
	p.rescuing = true
	defer func() { p.rescuing = false }()
	for len(kept) > 0 {
		one := kept[:min(size, len(kept))]
		kept = kept[len(one):]
		var ok [1]bool
		key.Open(one[noise.HeaderSize:], 0, len(one)-noise.HeaderSize, []uint64{noise.Counter(one)}, ok[:])
		packet := unpad(one[noise.HeaderSize : len(one)-noise.TagSize])
		if !ok[0] || packet == nil {
			p.drops.Unsent++
			continue
		}
		p.squeeze(peer, gso.Segments{Buf: packet, Size: len(packet), Count: 1}, limit)
	}
	p.flush()
}

// rest sends the segments of a super-packet from i on, for which limit was too
// narrow a moment ago.
func (p *pump) rest(peer *engine.Peer, s gso.Segments, i, limit int) {
	for ; i < s.Count; i++ {
		packet := s.Copy(p.scratch, i)
		p.squeeze(peer, gso.Segments{Buf: packet, Size: len(packet), Count: 1}, limit)
	}
}

// unpad cuts the padding off a packet of our own.
func unpad(b []byte) []byte {
	n := 0
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		n = int(binary.BigEndian.Uint16(b[2:]))
	case len(b) >= 40 && b[0]>>4 == 6:
		n = 40 + int(binary.BigEndian.Uint16(b[4:]))
	}
	if n == 0 || n > len(b) {
		return nil
	}
	// Sealing again needs room behind for padding.
	return append(make([]byte, 0, n+16), b[:n]...)
}

// troubles reads what the kernel and routers have to say of what was sent.
func (p *pump) troubles() {
	p.udp.Errors(func(e udp.TooBig) { p.engine.TooBig(p.now, e.To, e.MTU, e.Local, e.Quoted) })
}

// send hands datagrams over; the first result is false if the own link is too
// narrow for them.
func (p *pump) send(way engine.Way, buf []byte, size int) bool {
	err := p.udp.Send(way.From, way.To, buf, size)
	if errors.Is(err, udp.ErrTooLong) {
		return false
	}
	if err != nil {
		p.drops.Unsent++
	}
	return true
}

// control sends what the engine has to say by itself. That a probe is too long
// for the own link is in the error queue, which is read next.
func (p *pump) control(way engine.Way, datagram []byte) {
	if noise.Kind(datagram) == noise.TypeCookie && p.udp.Crowded() {
		p.drops.Unanswered++
		return
	}
	p.send(way, datagram, len(datagram))
}
