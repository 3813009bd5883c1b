package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/worker"
	"github.com/vpnguard/vpnguard/wireguard"
)

// kernelNames are the kernel's WireGuard devices, ours and others'. A root of files
// stands for another host, which has none.
func (w *world) kernelNames() ([]string, error) {
	if w.root != "" {
		return nil, nil
	}
	return wireguard.Names()
}

// askKernel tells how a device of the kernel is; one that is none is [fs.ErrNotExist].
func (w *world) askKernel(name endpoint.IfName) (tunnel.Status, error) {
	names, err := w.kernelNames()
	if err == nil && !slices.Contains(names, name.String()) {
		err = fmt.Errorf("device %q is none of the kernel's: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return tunnel.Status{}, err
	}
	d, err := wireguard.Read(name.String())
	return statusOf(d), err
}

func statusOf(d wireguard.Device) tunnel.Status {
	st := tunnel.Status{Name: d.Name, Public: d.Public, ListenPort: d.Port, FwMark: d.Mark}
	for _, p := range d.Peers {
		st.Peers = append(st.Peers, engine.PeerStatus{
			Public: p.Public, Preshared: p.Preshared, Endpoint: p.Endpoint, Allowed: p.Allowed,
			LastHandshake: p.LastHandshake, RxBytes: p.RxBytes, TxBytes: p.TxBytes, Keepalive: p.Keepalive,
		})
	}
	return st
}

// applyKernel changes a peer of a tunnel over the kernel; running is false if there
// is none of the name. Where the own engine asks whether the seal permits the
// change, this program does: the kernel knows no seal.
func (w *world) applyKernel(name endpoint.IfName, change engine.PeerChange) (running bool, err error) {
	if w.root != "" {
		return false, nil
	}
	made, err := wireguard.Made()
	if _, ours := made[name.String()]; err != nil || !ours {
		return false, err
	}
	h, done, err := w.host()
	if err != nil {
		return false, err
	}
	defer done()
	session, ok := h.Session(name.String())
	if !ok {
		return false, fmt.Errorf("tunnel %q has no session: `vpnguard recover` removes its device", name)
	}
	if err := permitted(session, change); err != nil {
		return false, &usageError{err, fmt.Sprintf("the tunnel does not take this change while it runs: end it, do this again, and bring it up (`vpnguard tunnel down %s`)", name)}
	}
	peer := wireguard.PeerChange{
		Public: change.Public, Remove: change.Remove, UpdateOnly: change.UpdateOnly,
		Preshared: change.Preshared, Endpoint: change.Endpoint, Keepalive: change.Keepalive, ReplaceAllowed: change.ReplaceAllowed,
	}
	for _, a := range change.Allowed {
		if a.Remove {
			return false, errors.New("the kernel takes all of a peer's prefixes or none")
		}
		peer.Allowed = append(peer.Allowed, a.Prefix)
	}
	return true, wireguard.Set(name.String(), wireguard.Change{Peers: []wireguard.PeerChange{peer}})
}

// permitted refuses a change of a peer that the seal would have to follow.
func permitted(session guard.Session, change engine.PeerChange) error {
	var seal worker.Setup
	for _, e := range session.Endpoints {
		seal.Sealed = append(seal.Sealed, e.Addr)
	}
	for _, a := range session.Addresses {
		seal.Inside = append(seal.Inside, a.Masked())
	}
	seal.Inside = append(seal.Inside, session.Routes...)
	if session.Profile == rules.Full {
		seal.Inside = append(seal.Inside, netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	return seal.Permit(tunnel.Change{Change: engine.Change{Peers: []engine.PeerChange{change}}})
}
