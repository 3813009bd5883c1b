package worker

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Change is what was changed of a running tunnel's peers, told to the supervisor
// so that the next worker is given the same. It is a [tunnel.Change] with its
// secrets in it, which that type gives to nobody.
type Change struct {
	ReplacePeers bool         `json:",omitempty"`
	Peers        []PeerChange `json:",omitempty"` // in turn
}

// PeerChange is as in package engine.
type PeerChange struct {
	Public         key.Public
	Remove         bool            `json:",omitempty"`
	UpdateOnly     bool            `json:",omitempty"`
	Preshared      *Secret         `json:",omitempty"`
	Endpoint       *netip.AddrPort `json:",omitempty"`
	Keepalive      *time.Duration  `json:",omitempty"`
	ReplaceAllowed bool            `json:",omitempty"`
	Allowed        []AllowedChange `json:",omitempty"`
}

// AllowedChange is as in package engine.
type AllowedChange = engine.AllowedChange

// newChange takes over what a setup holds.
func newChange(c tunnel.Change) Change {
	out := Change{ReplacePeers: c.ReplacePeers}
	for _, p := range c.Peers {
		n := PeerChange{Public: p.Public, Remove: p.Remove, UpdateOnly: p.UpdateOnly, Endpoint: p.Endpoint, Keepalive: p.Keepalive, ReplaceAllowed: p.ReplaceAllowed, Allowed: p.Allowed}
		if p.Preshared != nil {
			var text Secret
			if !p.Preshared.IsZero() {
				text = Secret(p.Preshared.Reveal())
			}
			n.Preshared = &text
		}
		out.Peers = append(out.Peers, n)
	}
	return out
}

// Permit refuses a change that the seal around the setup's tunnel would have to
// follow: another key, port or mark, an endpoint that is not sealed, an address
// that is not inside.
func (s *Setup) Permit(c tunnel.Change) error {
	for _, x := range []struct {
		name   string
		change bool
	}{
		{"private key", c.Private != nil && c.Private.Reveal() != string(s.Private)},
		{"port", c.ListenPort != nil && *c.ListenPort != s.Port},
		{"mark", c.FwMark != nil && *c.FwMark != s.Mark},
	} {
		if x.change {
			return fmt.Errorf("the tunnel is sealed: its %s is that of its file", x.name)
		}
	}
	for _, p := range c.Peers {
		if p.Pinned != nil {
			return errors.New("the tunnel is sealed: its peers' places are those of its file")
		}
	}
	return s.permit(newChange(c))
}

func (s *Setup) permit(c Change) error {
	for _, p := range c.Peers {
		if p.Endpoint != nil && !p.Remove && !slices.Contains(s.Sealed, *p.Endpoint) {
			return fmt.Errorf("the tunnel is sealed around the endpoints of its file: peer %q cannot be at %s", p.Public, p.Endpoint)
		}
		for _, a := range p.Allowed {
			if !a.Remove && !p.Remove && !slices.ContainsFunc(s.Inside, func(in netip.Prefix) bool { return in.Bits() <= a.Prefix.Bits() && in.Contains(a.Prefix.Addr()) }) {
				return fmt.Errorf("the tunnel is sealed around the addresses of its file: peer %q cannot get %s", p.Public, a.Prefix)
			}
		}
	}
	return nil
}

// Follow makes a change of the setup's peers, or returns an error and changes
// nothing. It asks itself whether the change is permitted: who tells of one is
// the process that the internet talks to.
func (s *Setup) Follow(c Change) error {
	if err := s.permit(c); err != nil {
		return err
	}
	own, err := key.ParsePrivate(string(s.Private))
	if err != nil {
		return fmt.Errorf("read the private key: %w", err)
	}
	ours, err := own.Public()
	if err != nil {
		return fmt.Errorf("read the private key: %w", err)
	}
	var peers []Peer
	if !c.ReplacePeers {
		peers = slices.Clone(s.Peers)
	}
	for _, pc := range c.Peers {
		if peers, err = follow(peers, pc, ours); err != nil {
			return err
		}
	}
	if len(peers) > engine.MaxPeers {
		return fmt.Errorf("there are %d peers, more than %d", len(peers), engine.MaxPeers)
	}
	s.Peers = peers
	return nil
}

func follow(peers []Peer, c PeerChange, ours key.Public) ([]Peer, error) {
	i := slices.IndexFunc(peers, func(p Peer) bool { return p.Public == c.Public })
	switch {
	case c.Public == ours, i < 0 && (c.Remove || c.UpdateOnly):
		return peers, nil
	case c.Remove:
		return slices.Delete(peers, i, i+1), nil
	case i < 0:
		peers, i = append(peers, Peer{Public: c.Public}), len(peers)
	}
	p := peers[i]
	if c.Preshared != nil {
		if *c.Preshared != "" {
			if _, err := key.ParsePreshared(string(*c.Preshared)); err != nil {
				return nil, fmt.Errorf("read the preshared key of peer %q: %w", c.Public, err)
			}
		}
		p.Preshared = *c.Preshared
	}
	if c.Keepalive != nil {
		p.Keepalive = *c.Keepalive
	}
	if c.Endpoint != nil {
		p.Endpoints = []netip.AddrPort{*c.Endpoint}
	}
	if c.ReplaceAllowed {
		p.Allowed = nil
	}
	p.Allowed = slices.Clone(p.Allowed)
	peers[i] = p
	for _, a := range c.Allowed {
		same := func(o netip.Prefix) bool { return o.Masked() == a.Prefix.Masked() }
		for j := range peers {
			// What is given to a peer is taken from whoever had it, itself too.
			if (!a.Remove || j == i) && slices.ContainsFunc(peers[j].Allowed, same) {
				peers[j].Allowed = slices.DeleteFunc(slices.Clone(peers[j].Allowed), same)
			}
		}
		if !a.Remove {
			peers[i].Allowed = append(peers[i].Allowed, a.Prefix.Masked())
		}
	}
	return peers, nil
}
