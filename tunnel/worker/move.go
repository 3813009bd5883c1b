package worker

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Move gives peers other places. The seal was changed before.
type Move struct {
	Sealed []netip.AddrPort // all that there are now
	Peers  []Place
}

// Place is where a peer may be.
type Place struct {
	Public    key.Public
	Endpoints []netip.AddrPort
}

// Move gives peers other places. Peers that are gone stay so.
func (s *Setup) Move(m Move) {
	s.Sealed = m.Sealed
	s.Peers = slices.Clone(s.Peers)
	for _, to := range m.Peers {
		for i := range s.Peers {
			if s.Peers[i].Public == to.Public {
				s.Peers[i].Endpoints = to.Endpoints
			}
		}
	}
}

// at is where a peer of fixed places is; of others nobody needs to know.
func (w *worker) at(k key.Public) netip.AddrPort {
	i := slices.IndexFunc(w.setup.Peers, func(p Peer) bool { return p.Public == k })
	if i < 0 || len(w.setup.Peers[i].Endpoints) == 0 {
		return netip.AddrPort{}
	}
	st, err := w.device.Status()
	if err != nil {
		return netip.AddrPort{} // it has ended, and is waited for
	}
	if i = slices.IndexFunc(st.Peers, func(p engine.PeerStatus) bool { return p.Public == k }); i < 0 {
		return netip.AddrPort{}
	}
	return st.Peers[i].Endpoint
}

// permit is asked by the protocol's server.
func (w *worker) permit(c tunnel.Change) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.setup.Permit(c)
}

// move gives peers their new places and asks there at once.
func (w *worker) move(m Move) error {
	w.mu.Lock()
	w.setup.Move(m)
	w.mu.Unlock()
	if w.device == nil {
		return nil
	}
	var c tunnel.Change
	for _, p := range m.Peers {
		c.Peers = append(c.Peers, engine.PeerChange{Public: p.Public, UpdateOnly: true, Pinned: &p.Endpoints})
	}
	if err := w.device.Apply(c); err != nil {
		return fmt.Errorf("move peers: %w", err)
	}
	for _, p := range m.Peers {
		if err := w.device.Handshake(p.Public); err != nil {
			return err
		}
	}
	return nil
}
