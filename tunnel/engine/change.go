package engine

import (
	"container/heap"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
)

// MaxPeers of one engine. A walk over all of them must not hold packets up for
// long.
const MaxPeers = 1 << 16

// MaxKeepalive is the longest interval of persistent keepalives.
const MaxKeepalive = 65535 * time.Second

// Change is what [Engine.Apply] does together or not at all. Where it has a
// pointer, nil keeps what is. The zero value changes nothing.
type Change struct {
	// Private is our new key. It ends every session, and a peer with its public
	// key goes; our present one changes nothing.
	Private *key.Private
	// ReplacePeers forgets all peers, sessions and counters, before Peers.
	ReplacePeers bool
	Peers        []PeerChange // in turn; a peer may come twice
}

// PeerChange changes, adds or removes one peer. One that has our own public key
// is passed over, as in every WireGuard.
type PeerChange struct {
	Public     key.Public
	Remove     bool // and nothing else
	UpdateOnly bool // passed over if there is no such peer
	// Preshared counts from the next handshake on; zero: none.
	Preshared *key.Preshared
	// Endpoint is where the peer is. One that it is not pinned to becomes the
	// only one.
	Endpoint  *netip.AddrPort
	Keepalive *time.Duration // 0: none
	// Pinned is as in [PeerConfig].
	Pinned *[]netip.AddrPort
	// ReplaceAllowed takes every prefix away before Allowed.
	ReplaceAllowed bool
	Allowed        []AllowedChange // in turn
}

// AllowedChange gives a prefix to a peer, which takes it from another, or takes
// it away from this one.
type AllowedChange struct {
	Prefix netip.Prefix
	Remove bool
}

// Prepared is a change that cannot fail any more.
type Prepared struct {
	e       *Engine
	change  Change
	local   *noise.Local                 // nil: the same
	kept    map[key.Public]*noise.Remote // of peers that were, by a new private key
	remotes []*noise.Remote              // by Change.Peers; nil: the same
	passed  []bool                       // by Change.Peers
}

// Apply makes a change, or returns an error and changes nothing.
func (e *Engine) Apply(now time.Duration, c Change) error {
	p, err := e.Prepare(c)
	if err != nil {
		return err
	}
	p.Commit(now)
	return nil
}

// Prepare does of a change all that can fail. Nothing else may be asked of e
// before the change is committed or dropped.
func (e *Engine) Prepare(c Change) (*Prepared, error) {
	p := &Prepared{e: e, change: c, remotes: make([]*noise.Remote, len(c.Peers)), passed: make([]bool, len(c.Peers))}
	local := e.local
	if c.Private != nil {
		if c.Private.IsZero() {
			return nil, errors.New("set the private key: a tunnel without one has no use")
		}
		made, err := noise.NewLocal(*c.Private)
		if err != nil {
			return nil, err
		}
		if made.Public() != e.Public() {
			p.local, local = made, made
		}
	}
	// What there will be after each step where that is not what there is; nil:
	// no such peer.
	then := map[key.Public]*noise.Remote{}
	count := len(e.peers)
	switch {
	case c.ReplacePeers:
		count = 0
	case p.local != nil:
		if err := p.keep(); err != nil {
			return nil, err
		}
		count = len(p.kept)
	}
	for i, pc := range c.Peers {
		if err := pc.check(); err != nil {
			return nil, err
		}
		was, known := then[pc.Public]
		if !known {
			was = p.before(pc.Public)
		}
		switch {
		case pc.Public == local.Public(), was == nil && (pc.Remove || pc.UpdateOnly):
			p.passed[i] = true
			continue
		case pc.Remove:
			then[pc.Public] = nil
			count--
			continue
		case was == nil:
			var psk key.Preshared
			if pc.Preshared != nil {
				psk = *pc.Preshared
			}
			made, err := local.NewRemote(pc.Public, psk)
			if err != nil {
				return nil, fmt.Errorf("add a peer: %w", err)
			}
			p.remotes[i] = made
			if count++; count > MaxPeers {
				return nil, fmt.Errorf("add peer %q: there are %d already", pc.Public, MaxPeers)
			}
		case pc.Preshared != nil && !was.Preshared().Equal(*pc.Preshared):
			p.remotes[i] = was.WithPreshared(*pc.Preshared)
		default:
			continue
		}
		then[pc.Public] = p.remotes[i]
	}
	return p, nil
}

// keep makes the peers that stay anew, by a new private key.
func (p *Prepared) keep() error {
	p.kept = make(map[key.Public]*noise.Remote, len(p.e.peers))
	for k, peer := range p.e.peers {
		if k == p.local.Public() {
			continue
		}
		made, err := p.local.NewRemote(k, peer.remote.Preshared())
		if err != nil {
			return fmt.Errorf("set the private key: %w", err)
		}
		p.kept[k] = made
	}
	return nil
}

// before is what there is of a peer before the first of Change.Peers; nil:
// nothing.
func (p *Prepared) before(k key.Public) *noise.Remote {
	if p.change.ReplacePeers {
		return nil
	}
	if p.local != nil {
		return p.kept[k]
	}
	if peer := p.e.peers[k]; peer != nil {
		return peer.remote
	}
	return nil
}

func (c *PeerChange) check() error {
	if c.Remove {
		return nil
	}
	if c.Endpoint != nil && (!c.Endpoint.IsValid() || c.Endpoint.Port() == 0 || c.Endpoint.Addr().Zone() != "" || c.Endpoint.Addr().IsUnspecified() || c.Endpoint.Addr().IsMulticast()) {
		return fmt.Errorf("set the endpoint of peer %q: %q is no address and port that a datagram can be sent to", c.Public, c.Endpoint)
	}
	if c.Keepalive != nil && (*c.Keepalive < 0 || *c.Keepalive > MaxKeepalive) {
		return fmt.Errorf("set the keepalive of peer %q: %s is not from 0 to %s", c.Public, *c.Keepalive, MaxKeepalive)
	}
	for _, a := range c.Allowed {
		if !a.Prefix.IsValid() || a.Prefix.Addr().Is4In6() {
			return fmt.Errorf("change peer %q: %q is no prefix", c.Public, a.Prefix)
		}
	}
	return nil
}

// stamps of a peer outlive it if it comes back in the same change, so that its
// old initiations cannot be replayed and our new ones are taken.
type stamps struct{ stamped, greatest noise.Timestamp }

// Commit makes the change.
func (p *Prepared) Commit(now time.Duration) {
	e := p.e
	if p.local != nil {
		p.rekey()
	}
	gone := map[key.Public]stamps{}
	remove := func(k key.Public) {
		if peer := e.peers[k]; peer != nil {
			gone[k] = stamps{peer.stamped, peer.greatest}
			e.remove(peer)
		}
	}
	if p.change.ReplacePeers {
		for k := range e.peers {
			remove(k)
		}
	}
	for i, c := range p.change.Peers {
		switch {
		case p.passed[i]:
		case c.Remove:
			remove(c.Public)
		default:
			peer := e.peers[c.Public]
			if peer == nil {
				peer = e.newPeer(c.Public)
				peer.stamped, peer.greatest = gone[c.Public].stamped, gone[c.Public].greatest
			}
			peer.apply(now, c, p.remotes[i])
		}
	}
	e.refit() // once: it looks at every peer
}

// rekey gives every peer what the new private key makes of it.
func (p *Prepared) rekey() {
	e := p.e
	e.local, e.checker = p.local, noise.NewChecker(p.local.Public(), e.config.Random)
	for k, peer := range e.peers {
		made := p.kept[k]
		if made == nil {
			if !p.change.ReplacePeers {
				e.remove(peer)
			}
			continue
		}
		peer.dropHandshake()
		peer.dropSessions()
		peer.setRemote(made)
		peer.initiated = longAgo
	}
}

func (e *Engine) newPeer(k key.Public) *Peer {
	p := &Peer{e: e, public: k, stamper: noise.NewStamper(k), initiated: longAgo, answered: longAgo, wake: never, limit: e.config.MTU}
	for t := range p.at {
		p.at[t] = never
	}
	e.peers[k] = p
	heap.Push(&e.wakes, p)
	return p
}

func (p *Peer) setRemote(r *noise.Remote) {
	// A handshake that is under way has the old keys; its timer, which goes on,
	// begins another.
	p.dropHandshake()
	if p.remote != nil {
		p.remote.Erase()
	}
	p.remote, p.shared = r, !r.Preshared().IsZero()
}

func (p *Peer) apply(now time.Duration, c PeerChange, remote *noise.Remote) {
	if remote != nil {
		p.setRemote(remote)
	}
	wake := false // the path is to be opened now
	if c.Endpoint != nil && p.endpoint != unmap(*c.Endpoint) {
		wake = true
		p.move(now, unmap(*c.Endpoint))
		if len(p.pinned) > 0 && !slices.Contains(p.pinned, p.endpoint) {
			p.pinned = []netip.AddrPort{p.endpoint}
		}
	}
	if c.Pinned != nil {
		p.pin(now, *c.Pinned)
	}
	if c.Keepalive != nil && p.interval != *c.Keepalive {
		p.interval, wake = *c.Keepalive, true
	}
	if wake {
		p.disarm(persistent)
		if p.interval > 0 {
			p.arm(persistent, now)
		}
	}
	if c.ReplaceAllowed {
		p.disallow()
	}
	for _, a := range c.Allowed {
		if a.Remove {
			p.e.routes.Delete(a.Prefix, p)
			p.lose(a.Prefix.Masked())
		} else {
			p.allow(a.Prefix)
		}
	}
}

// Private returns a copy of our private key.
func (e *Engine) Private() key.Private { return e.local.Private() }

// Preshared returns the preshared keys of the peers that have one.
func (e *Engine) Preshared() map[key.Public]key.Preshared {
	out := map[key.Public]key.Preshared{}
	for k, p := range e.peers {
		if p.shared {
			out[k] = p.remote.Preshared()
		}
	}
	return out
}
