// Package engine is WireGuard's protocol machine: peers, sessions, timers,
// allowed addresses, cookies under load. It does no input or output and knows
// no clock: whoever drives it says what arrived and what time it is, and gets
// datagrams to send and packets to deliver. Nothing in it is safe for
// concurrent use; one thread drives one engine. Sections are those of the
// WireGuard whitepaper.
package engine

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/allowed"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/pmtu"
)

// Config is what an engine needs.
type Config struct {
	// Private is our own key.
	Private key.Private
	// Send takes a datagram that is to go out now: a handshake message, a
	// keepalive, or a packet that waited for a handshake. It must not keep it.
	Send func(way Way, datagram []byte)
	// MTU is the largest inner packet; padding never goes beyond it. 0: 1420,
	// which fits 1500 bytes on either family, and as much as the path takes if
	// Probe finds out.
	MTU int
	// Probe asks each peer's path how large packets may be; see package pmtu.
	// Peers that do not know of it are asked a little and believed to take MTU
	// until [Engine.TooBig].
	Probe bool
	// Random is the source of keys and indices; nil: the system's.
	Random io.Reader
	// Wall tells the time of day for the timestamps of initiations; nil: the
	// system's. All other times are given with each call, by a clock that
	// never goes back and goes on during suspend.
	Wall func() time.Time
	// Completed is told of each handshake that both ends completed; nil: nobody
	// is. It must not block nor call the engine.
	Completed func(key.Public)
	// Unanswered is told of each time that a peer let a handshake of ours go
	// unanswered, and how many in a row that were; nil: nobody is. It must not
	// block nor call the engine.
	Unanswered func(peer key.Public, inARow int)
	// Quiet is how many handshake messages a second are answered without a
	// cookie; 0: 200, which cost about one hundredth of a processor.
	Quiet int
}

// Way is where a datagram goes, and as whom.
type Way struct {
	To netip.AddrPort
	// From is the address of ours that the peer called, which it may hear alone;
	// not valid: the one that the host's routes prefer.
	From netip.Addr
}

// DefaultMTU fits IPv6 on a wire of 1500 bytes: 40 + 8 + 16 + 16 bytes around.
const DefaultMTU = 1420

// MaxMTU leaves room for the header, the tag and an outer header.
const MaxMTU = 65535 - 80

// Engine is one end of any number of tunnels.
type Engine struct {
	config  Config
	local   *noise.Local
	checker *noise.Checker
	gate    gate
	peers   map[key.Public]*Peer
	routes  allowed.Table[*Peer]
	indices map[uint32]target
	wakes   wakes
	staged  int // bytes that wait for a handshake, of all peers
	out     []byte
	content []byte // of a probe
	run     run
	random  [128]byte // for jitter
	stock   []byte    // what is left of it
	auto    bool      // no MTU was given
	mtu     int       // for all peers
}

// target is whom an index of ours is for: a session, or a handshake that we
// began (session is nil).
type target struct {
	peer    *Peer
	session *session
}

// New makes an engine without peers.
func New(c Config) (*Engine, error) {
	if c.Private.IsZero() {
		return nil, errors.New("start the tunnel's engine: no private key")
	}
	if c.Send == nil {
		return nil, errors.New("start the tunnel's engine: nowhere to send to")
	}
	most := c.MTU
	auto := c.MTU == 0
	if auto {
		c.MTU = DefaultMTU
		most = pmtu.Ceiling
	}
	if c.MTU < 576 || c.MTU > MaxMTU {
		return nil, fmt.Errorf("start the tunnel's engine: MTU %d is not from 576 to %d", c.MTU, MaxMTU)
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Wall == nil {
		c.Wall = time.Now
	}
	if c.Quiet == 0 {
		c.Quiet = 200
	}
	local, err := noise.NewLocal(c.Private)
	if err != nil {
		return nil, err
	}
	c.Private = key.Private{}
	e := &Engine{
		config: c, local: local, checker: noise.NewChecker(local.Public(), c.Random),
		peers: map[key.Public]*Peer{}, indices: map[uint32]target{},
		out:     make([]byte, noise.HeaderSize+most+noise.TagSize+16),
		content: make([]byte, most), auto: auto, mtu: c.MTU,
	}
	e.gate.quiet = c.Quiet
	return e, nil
}

// Public returns our public key.
func (e *Engine) Public() key.Public { return e.local.Public() }

// Close forgets every key. e is of no use afterwards.
func (e *Engine) Close() {
	for _, p := range e.peers {
		e.remove(p)
	}
	e.local = nil
}

// newIndex takes a free index for t. Indices are random: they must not tell
// how many sessions there were (5.4).
func (e *Engine) newIndex(t target) (uint32, error) {
	var b [4]byte
	for {
		if _, err := io.ReadFull(e.config.Random, b[:]); err != nil {
			return 0, fmt.Errorf("make an index: %w", err)
		}
		i := binary.LittleEndian.Uint32(b[:])
		if _, taken := e.indices[i]; !taken {
			e.indices[i] = t
			return i, nil
		}
	}
}

// jitter keeps two ends from retrying at the same moment for ever (6.1): up to
// a third of a second. Without randomness there is none. Each answer to data
// sets a timer with it, so randomness is taken in stock.
func (e *Engine) jitter() time.Duration {
	if len(e.stock) == 0 {
		if _, err := io.ReadFull(e.config.Random, e.random[:]); err != nil {
			return 0
		}
		e.stock = e.random[:]
	}
	r := binary.LittleEndian.Uint16(e.stock)
	e.stock = e.stock[2:]
	return time.Duration(r) * (time.Second / 3) / 65536
}
