package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/keeper"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/worker"
)

// A peer that let so many handshakes in a row go unanswered, 5 s each, may be
// elsewhere: one that is lost on the way is no reason to ask.
const silentAfter = 2

// Pauses between two questions for one peer's name, the first and the longest.
const (
	firstPause = 10 * time.Second
	maxPause   = 5 * time.Minute
)

// whereabouts is what a supervisor knows of the places of peers that are given by
// name. All of it is its own goroutine's.
type whereabouts struct {
	peers  map[key.Public]*whereabout
	found  chan found // one at a time
	asking bool
}

type whereabout struct {
	name   endpoint.OrName
	places []netip.AddrPort // that the seal is around
	worked netip.AddrPort   // of these, the last that answered; not valid: none did
	pause  time.Duration
	next   time.Time // when to ask again at the earliest
}

// found is where a name leads to now.
type found struct {
	peer  key.Public
	addrs []netip.Addr
	err   error
}

// newWhereabouts takes what was found before the host was closed.
func newWhereabouts(p tunnelPlan) whereabouts {
	w := whereabouts{peers: map[key.Public]*whereabout{}, found: make(chan found, 1)}
	for i, peer := range p.conf.Peers {
		if peer.Endpoint != (endpoint.OrName{}) {
			w.peers[peer.PublicKey] = &whereabout{name: peer.Endpoint, places: p.setup.Peers[i].Endpoints, pause: firstPause}
		}
	}
	return w
}

// sought follows the handshakes of peers and asks for the names of those that do
// not answer.
func (s *supervisor) sought(ctx context.Context, e keeper.Event) {
	switch {
	case e.Completed != nil:
		if at := s.where.peers[*e.Completed]; at != nil {
			at.pause, at.next = firstPause, time.Time{}
			if slices.Contains(at.places, e.At) { // it is the engine's word
				at.worked = e.At
			}
		}
	case e.Unanswered != nil:
		peer := e.Unanswered.Peer
		at := s.where.peers[peer]
		if at == nil || !isName(at.name) || e.Unanswered.InARow < silentAfter || s.where.asking || time.Now().Before(at.next) {
			return
		}
		at.next, at.pause = time.Now().Add(at.pause), min(2*at.pause, maxPause)
		s.where.asking = true
		found, plan := s.where.found, s.plan
		go func() { found <- plan.lookUp(ctx, peer, at.name.Host) }()
	}
}

// lookUp asks where a peer is now.
func (p tunnelPlan) lookUp(ctx context.Context, peer key.Public, host string) found {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var addrs []netip.Addr
	err := errors.ErrUnsupported
	if p.asksInClear() {
		addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	if err != nil {
		addrs, err = p.ask(ctx, host)
	}
	return found{peer, addrs, err}
}

// moved puts the seal around the places where a name leads now, and then lets the
// engine look for its peer there. They take the place of the earlier ones, of which
// only the one that worked last stays: whoever answers for a resolver chooses
// where, but never how many.
func (s *supervisor) moved(ctx context.Context, f found) {
	s.where.asking = false
	at := s.where.peers[f.peer]
	if f.err != nil {
		s.log.Warn("a peer does not answer, and its name cannot be looked up again", "tunnel", s.plan.setup.Name, "err", f.err)
		return
	}
	places, err := placesOf(f.addrs, at.name, at.worked)
	if err != nil {
		s.log.Warn("a peer does not answer, and its name leads nowhere", "tunnel", s.plan.setup.Name, "err", err)
		return
	}
	if sameSet(places, at.places) {
		return
	}
	before := at.places
	at.places = places
	ends, move := s.where.sealed()
	if _, err := s.host.Move(context.WithoutCancel(ctx), os.Getpid(), ends); err != nil {
		at.places = before
		s.log.Error("the seal cannot be put around a peer's new addresses", "tunnel", s.plan.setup.Name, "err", err)
		return
	}
	move.Peers = []worker.Place{{Public: f.peer, Endpoints: places}}
	s.keeper.Move(move)
	s.log.Info("a peer that does not answer is looked for where its name leads now", "tunnel", s.plan.setup.Name, "peer", f.peer, "name", at.name, "endpoints", fmt.Sprint(places))
}

// sealed is all that the seal is to be around.
func (w whereabouts) sealed() (ends []endpoint.Endpoint, move worker.Move) {
	for _, at := range w.peers {
		for _, a := range at.places {
			if !slices.Contains(move.Sealed, a) {
				ends, move.Sealed = append(ends, endpoint.Endpoint{Addr: a, Proto: endpoint.UDP}), append(move.Sealed, a)
			}
		}
	}
	return ends, move
}

// placesOf are the places that a name's addresses mean, and the one that worked.
func placesOf(addrs []netip.Addr, name endpoint.OrName, worked netip.AddrPort) (places []netip.AddrPort, err error) {
	if len(addrs) == 0 {
		return nil, fmt.Errorf("endpoint %q has no address", name)
	}
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		e := endpoint.Endpoint{Addr: netip.AddrPortFrom(a.Unmap(), name.Port), Proto: endpoint.UDP}
		if !e.IsValid() {
			return nil, fmt.Errorf("endpoint %q: its address %s is no server's", name, a)
		}
		if !slices.Contains(places, e.Addr) {
			places = append(places, e.Addr)
		}
	}
	if worked.IsValid() && !slices.Contains(places, worked) {
		places = append(places, worked)
	}
	return places, nil
}

func sameSet(a, b []netip.AddrPort) bool {
	has := func(list []netip.AddrPort) func(netip.AddrPort) bool {
		return func(x netip.AddrPort) bool { return !slices.Contains(list, x) }
	}
	return !slices.ContainsFunc(a, has(b)) && !slices.ContainsFunc(b, has(a))
}
