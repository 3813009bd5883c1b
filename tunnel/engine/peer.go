package engine

import (
	"container/heap"
	"errors"
	"fmt"
	"net/netip"
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
}

// Peer is one peer of an engine.
type Peer struct {
	e        *Engine
	public   key.Public
	shared   bool // a preshared key is in use
	remote   *noise.Remote
	stamper  *noise.Stamper
	endpoint netip.AddrPort
	interval time.Duration

	handshake      *noise.Initiator // that we began; nil: none
	handshakeIndex uint32
	initiated      time.Duration // when; before any: far in the past
	attempts       int
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
	for _, a := range c.Allowed {
		if !a.IsValid() || a.Addr().Is4In6() {
			return fmt.Errorf("add peer %q: %q is no prefix", c.Public, a)
		}
	}
	remote, err := e.local.NewRemote(c.Public, c.Preshared)
	if err != nil {
		return fmt.Errorf("add a peer: %w", err)
	}
	p := e.peers[c.Public]
	if p == nil {
		p = &Peer{e: e, public: c.Public, stamper: noise.NewStamper(c.Public), initiated: longAgo, answered: longAgo, wake: never, limit: e.config.MTU}
		for t := range p.at {
			p.at[t] = never
		}
		e.peers[c.Public] = p
		heap.Push(&e.wakes, p)
	} else {
		// One that is under way has the old preshared key; its timer, which
		// goes on, begins another.
		p.dropHandshake()
	}
	p.remote, p.shared, p.interval = remote, !c.Preshared.IsZero(), c.Keepalive
	if c.Endpoint.IsValid() {
		p.meet(now, unmap(c.Endpoint))
	}
	e.routes.Remove(p)
	for _, a := range c.Allowed {
		e.routes.Insert(a, p)
	}
	e.refit()
	p.disarm(persistent)
	if p.interval > 0 {
		p.arm(persistent, now)
	}
	return nil
}

// RemovePeer forgets a peer and its keys.
func (e *Engine) RemovePeer(k key.Public) {
	p := e.peers[k]
	if p == nil {
		return
	}
	p.dropHandshake()
	p.dropSessions()
	p.dropStaged()
	e.routes.Remove(p)
	heap.Remove(&e.wakes, p.place)
	delete(e.peers, k)
	p.remote.Erase()
	e.refit()
}

// Peers tells of every peer, in no order.
func (e *Engine) Peers() []PeerStatus {
	out := make([]PeerStatus, 0, len(e.peers))
	for _, p := range e.peers {
		st := PeerStatus{
			Public: p.public, Preshared: p.shared, Endpoint: p.endpoint, Keepalive: p.interval, LastHandshake: p.finished,
			RxBytes: p.rx, TxBytes: p.tx, MTU: p.limit, Probed: p.path.Answered(), Proved: p.path.Verified(),
		}
		e.routes.Held(p, func(a netip.Prefix) { st.Allowed = append(st.Allowed, a) })
		out = append(out, st)
	}
	return out
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
