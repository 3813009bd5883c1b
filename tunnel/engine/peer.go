package engine

import (
	"container/heap"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/pmtu"
)

// PeerConfig is what the user says of a peer.
type PeerConfig struct {
	Public    key.Public
	Preshared key.Preshared // zero: none
	// Endpoint is where the peer was last known to be; not valid: it speaks first.
	Endpoint netip.AddrPort
	Allowed  []netip.Prefix
	// Keepalive is the interval of persistent keepalives; 0: none.
	Keepalive time.Duration
	// Pinned are the only addresses that the peer may have; none: it is wherever
	// it proves to be. Before it answered, and when it does not answer, all of
	// them are asked at once.
	Pinned []netip.AddrPort
}

// Peer is one peer of an engine.
type Peer struct {
	e        *Engine
	public   key.Public
	shared   bool // a preshared key is in use
	remote   *noise.Remote
	stamper  *noise.Stamper
	endpoint netip.AddrPort
	called   netip.Addr // address of ours that the peer speaks to; not valid: it does not choose
	pinned   []netip.AddrPort
	interval time.Duration
	allowed  []netip.Prefix // what the engine's routes give it, in the order it came

	handshake      *noise.Initiator // that we began; nil: none
	handshakeIndex uint32
	initiated      time.Duration // when; before any: far in the past
	attempts       int
	unanswered     int             // initiations in a row, whatever began them
	stamped        noise.Timestamp // of our last initiation
	greatest       noise.Timestamp // of the peer's initiations
	answered       time.Duration   // when we last answered one

	// A responder may not send by a session before it has received by it:
	// until then it is next. previous takes what is still under way.
	previous, current, next *session

	at      [timers]time.Duration
	another bool // more data came while the keepalive timer ran
	wake    time.Duration
	place   int // in the heap

	path  pmtu.Search
	limit int // largest inner packet

	staged   [][]byte
	finished time.Time // wall time of the last handshake
	rx, tx   uint64
}

// PeerStatus is what there is to tell of a peer. It holds no secret.
type PeerStatus struct {
	Public    key.Public
	Preshared bool
	Endpoint  netip.AddrPort // not valid: never heard of
	Allowed   []netip.Prefix
	Keepalive time.Duration
	// LastHandshake is zero before the first.
	LastHandshake time.Time
	// RxBytes and TxBytes count authentic datagrams with their headers, and
	// handshakes.
	RxBytes, TxBytes uint64
	// Unanswered is how many handshakes in a row the peer let go unanswered.
	Unanswered int
	// MTU is the largest inner packet that the path takes, as far as known.
	MTU int
	// Probed says that the peer answers probes, and Proved that a packet of MTU
	// has arrived there.
	Probed, Proved bool
}

// longAgo lies before every time that a clock gives, by more than any limit.
const longAgo = -24 * time.Hour

// SetPeer adds a peer, or gives a known one a new configuration: a preshared
// key counts from the next handshake on, an endpoint that is not valid keeps
// the old one. On an error nothing was changed.
func (e *Engine) SetPeer(now time.Duration, c PeerConfig) error {
	if c.Public == e.Public() {
		return errors.New("add a peer: its public key is our own")
	}
	change := PeerChange{Public: c.Public, Preshared: &c.Preshared, Keepalive: &c.Keepalive, Pinned: &c.Pinned, ReplaceAllowed: true}
	if c.Endpoint.IsValid() {
		change.Endpoint = &c.Endpoint
	}
	for _, a := range c.Allowed {
		change.Allowed = append(change.Allowed, AllowedChange{Prefix: a})
	}
	return e.Apply(now, Change{Peers: []PeerChange{change}})
}

// RemovePeer forgets a peer and its keys.
func (e *Engine) RemovePeer(k key.Public) {
	if p := e.peers[k]; p != nil {
		e.remove(p)
		e.refit()
	}
}

// remove forgets a peer. refit is to follow.
func (e *Engine) remove(p *Peer) {
	p.dropHandshake()
	p.dropSessions()
	p.dropStaged()
	p.disallow()
	heap.Remove(&e.wakes, p.place)
	delete(e.peers, p.public)
	p.remote.Erase()
}

// Peers tells of every peer, in no order.
func (e *Engine) Peers() []PeerStatus {
	out := make([]PeerStatus, 0, len(e.peers))
	for _, p := range e.peers {
		out = append(out, PeerStatus{
			Public: p.public, Preshared: p.shared, Endpoint: p.endpoint, Allowed: slices.Clone(p.allowed), Keepalive: p.interval, LastHandshake: p.finished,
			RxBytes: p.rx, TxBytes: p.tx, Unanswered: p.unanswered, MTU: p.limit, Probed: p.path.Answered(), Proved: p.path.Verified(),
		})
	}
	return out
}

// allow gives the peer a prefix, which another may lose by that.
func (p *Peer) allow(prefix netip.Prefix) {
	prefix = prefix.Masked()
	was, held := p.e.routes.Insert(prefix, p)
	if held && was == p {
		return
	}
	if held {
		was.lose(prefix)
	}
	p.allowed = append(p.allowed, prefix)
}

// lose takes a prefix out of the peer's own list.
func (p *Peer) lose(prefix netip.Prefix) {
	if i := slices.Index(p.allowed, prefix); i >= 0 {
		p.allowed = slices.Delete(p.allowed, i, i+1)
	}
}

// disallow takes every prefix away.
func (p *Peer) disallow() {
	for _, a := range p.allowed {
		p.e.routes.Delete(a, p)
	}
	p.allowed = nil
}

// pin keeps the peer to addresses, none: to no address.
func (p *Peer) pin(now time.Duration, to []netip.AddrPort) {
	was := p.pinned
	p.pinned = nil
	for _, a := range to {
		p.pinned = append(p.pinned, unmap(a))
	}
	if p.unanswered > 0 && !slices.Equal(was, p.pinned) {
		p.initiated = longAgo // the others were not asked yet
	}
	if len(p.pinned) > 0 && !slices.Contains(p.pinned, p.endpoint) {
		p.move(now, p.pinned[0])
	}
}

// unmap turns an IPv4-mapped address into the IPv4 address that it is.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// dropSessions erases every key. A handshake that is under way stays: it has
// its own end.
func (p *Peer) dropSessions() {
	p.e.drop(p.previous)
	p.e.drop(p.current)
	p.e.drop(p.next)
	p.previous, p.current, p.next = nil, nil, nil
}

func (p *Peer) dropHandshake() {
	if p.handshake == nil {
		return
	}
	delete(p.e.indices, p.handshakeIndex)
	p.handshake.Erase()
	p.handshake = nil
}
