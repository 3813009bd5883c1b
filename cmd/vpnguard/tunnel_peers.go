package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/uapi"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

type tunnelPeersCommand struct {
	Add    peersAddCommand    `cmd:"" help:"Add a peer to a server and print its configuration."`
	Remove peersRemoveCommand `cmd:"" help:"Remove a peer from a server."`
	List   peersListCommand   `cmd:"" help:"List a server's peers."`
	QR     peersQRCommand     `cmd:"" name:"qr" help:"Print a peer's configuration as a QR code."`
}

type peersRemoveCommand struct {
	Name endpoint.IfName `arg:"" help:"The tunnel."`
	Peer string          `arg:"" help:"The peer's label or public key."`
}

// Run takes a peer out of the file and of the running device.
func (c *peersRemoveCommand) Run(w *world) error {
	return w.tunnelTree(func(t *tree) error {
		e, conf, err := t.confOf(c.Name)
		if err != nil {
			return err
		}
		p, err := findPeer([]byte(e.text), conf, c.Peer)
		if err != nil {
			return &usageError{fmt.Errorf("tunnel %q: %w", c.Name, err), "nothing was changed; `vpnguard tunnel peers list " + c.Name.String() + "` names them"}
		}
		e.text = string(wgconf.Cut([]byte(e.text), p))
		if err := w.changePeers(t, c.Name, e, engine.PeerChange{Public: p.PublicKey, Remove: true}); err != nil {
			return fmt.Errorf("remove peer %s: %w", p.PublicKey, err)
		}
		return nil
	})
}

// findPeer finds a peer by its label or public key.
func findPeer(data []byte, conf wgconf.Config, what string) (wgconf.Peer, error) {
	var found []wgconf.Peer
	for _, p := range conf.Peers {
		if p.PublicKey.String() == what || wgconf.Label(data, p) == what {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return wgconf.Peer{}, fmt.Errorf("no peer has the label or public key %q", what)
	case 1:
		return found[0], nil
	}
	return wgconf.Peer{}, fmt.Errorf("%d peers have the label %q: give the public key", len(found), what)
}

// changePeers replaces a tunnel's file and changes its device, if it runs. After
// an error the file is as it was, and the device too.
func (w *world) changePeers(t *tree, name endpoint.IfName, e edit, change engine.PeerChange) error {
	if err := t.do(e); err != nil {
		return err
	}
	running, err := w.applyPeer(name, change)
	if err != nil {
		undone := t.undo([]edit{e}, fmt.Errorf("change the running tunnel %q: %w", name, err))
		var by *net.OpError // ours is not the right to connect, or the tunnel's answer is no
		if errors.Is(err, unix.EPERM) && !errors.As(err, &by) {
			return &usageError{undone, fmt.Sprintf("the tunnel does not take this change while it runs, its log says why: end it, do this again, and bring it up (`vpnguard tunnel down %s`)", name)}
		}
		return undone
	}
	fmt.Fprintf(w.stderr, "vpnguard: wrote %s%s\n", confDir, e.path)
	if running {
		fmt.Fprintf(w.stderr, "vpnguard: changed the running tunnel %s\n", name)
	} else {
		fmt.Fprintf(w.stderr, "vpnguard: tunnel %s does not run: the change counts when it is brought up\n", name)
	}
	return nil
}

// applyPeer changes a peer of a device; running is false if there is none.
func (w *world) applyPeer(name endpoint.IfName, change engine.PeerChange) (running bool, err error) {
	err = w.withTunnel(name, func(c net.Conn) error {
		return uapi.Set(c, tunnel.Change{Change: engine.Change{Peers: []engine.PeerChange{change}}})
	})
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)) {
		return w.applyKernel(name, change)
	}
	return err == nil, err
}

type peersListCommand struct {
	Name endpoint.IfName `arg:"" help:"The tunnel."`
	JSON bool            `name:"json" help:"Print JSON."`
}

// peersJSON is the contract of `tunnel peers list --json`, version 1.
type peersJSON struct {
	Version int              `json:"version"`
	Tunnel  string           `json:"tunnel"`
	Running bool             `json:"running"`
	Peers   []listedPeerJSON `json:"peers"`
}

type listedPeerJSON struct {
	Label     string         `json:"label"`
	PublicKey string         `json:"public_key"`
	Allowed   []netip.Prefix `json:"allowed_ips"`
	Handshake *time.Time     `json:"latest_handshake"` // null: none, or the tunnel does not run
}

// Run prints the peers of the file and when each was heard of.
func (c *peersListCommand) Run(w *world) error {
	_, conf, data, err := w.conf(c.Name)
	if err != nil {
		return err
	}
	heard := map[key.Public]time.Time{}
	st, err := w.askTunnel(c.Name)
	running := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ECONNREFUSED) {
		w.warn([]string{fmt.Sprintf("the running tunnel could not be asked: %v", err)})
	}
	for _, p := range st.Peers {
		heard[p.Public] = p.LastHandshake
	}
	out := peersJSON{Version: 1, Tunnel: c.Name.String(), Running: running, Peers: []listedPeerJSON{}}
	for _, p := range conf.Peers {
		j := listedPeerJSON{Label: wgconf.Label(data, p), PublicKey: p.PublicKey.String(), Allowed: append([]netip.Prefix{}, p.AllowedIPs...)}
		if at := heard[p.PublicKey]; !at.IsZero() {
			at = at.UTC()
			j.Handshake = &at
		}
		out.Peers = append(out.Peers, j)
	}
	if c.JSON {
		return w.json(out)
	}
	for _, p := range out.Peers {
		parts := []string{p.PublicKey}
		for _, a := range p.Allowed {
			parts = append(parts, a.String())
		}
		if p.Handshake != nil {
			parts = append(parts, fmt.Sprintf("heard %s ago", max(0, time.Since(*p.Handshake)).Truncate(time.Second)))
		}
		if wgconf.CheckLabel(p.Label) == nil && p.Label != "" {
			parts = append(parts, "# "+p.Label)
		}
		fmt.Fprintln(w.stdout, strings.Join(parts, " "))
	}
	return nil
}

// conf reads a tunnel's configuration where nothing is to be changed.
func (w *world) conf(name endpoint.IfName) (string, wgconf.Config, []byte, error) {
	file := w.confFile(name)
	data, c, err := w.readConf(file)
	return file, c, data, err
}

// taken are all prefixes that peers have.
func taken(c wgconf.Config) (out []netip.Prefix) {
	for _, p := range c.Peers {
		out = append(out, p.AllowedIPs...)
	}
	for _, a := range c.Interface.Addresses {
		out = append(out, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
	}
	return slices.Clip(out)
}
