package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

type peersAddCommand struct {
	Name      endpoint.IfName `arg:"" help:"The tunnel, a server's."`
	Label     string          `arg:"" optional:"" help:"What the peer is called in the file."`
	Endpoint  string          `required:"" help:"Where the peer finds this server; without a port, the server's." placeholder:"HOST[:PORT]"`
	PublicKey string          `help:"The peer's own public key; default: a new key pair." placeholder:"KEY"`
	Preshared bool            `help:"Make a preshared key as well."`
	Address   []netip.Addr    `help:"The peer's addresses; default: the next free one of each network of the server." placeholder:"ADDR"`
	Route     []netip.Prefix  `help:"What the peer sends to this server; default: everything." placeholder:"PREFIX"`
	DNS       []netip.Addr    `name:"dns" help:"The peer's resolvers." placeholder:"ADDR"`
	Keepalive uint16          `help:"Seconds between the peer's keepalives; 0: none." placeholder:"SECONDS"`
	QR        bool            `name:"qr" help:"Print a QR code in place of the text."`
}

// Run adds a peer to the file and to the running device, and prints the peer's
// configuration. The peer's private key is nowhere else.
func (c *peersAddCommand) Run(w *world) error {
	if err := wgconf.CheckLabel(c.Label); err != nil {
		return &usageError{err, "nothing was changed"}
	}
	return w.tunnelTree(func(t *tree) error {
		e, server, err := t.confOf(c.Name)
		if err != nil {
			return err
		}
		peer, theirs, err := c.peer(server)
		if err != nil {
			return &usageError{fmt.Errorf("add a peer to tunnel %q: %w", c.Name, err), "nothing was changed"}
		}
		if c.Label != "" {
			if _, err := findPeer([]byte(e.text), server, c.Label); err == nil {
				return &usageError{fmt.Errorf("add a peer to tunnel %q: the label %q is taken", c.Name, c.Label), "nothing was changed"}
			}
		}
		text := wgconf.Format(theirs)
		if c.QR {
			if text, err = qrText(text); err != nil {
				return err
			}
		}
		e.text = string(wgconf.Append([]byte(e.text), c.Label, peer))
		if _, err := wgconf.Parse(confDir+e.path, []byte(e.text)); err != nil {
			return &usageError{fmt.Errorf("add a peer to tunnel %q: %w", c.Name, err), "nothing was changed"}
		}
		change := engine.PeerChange{Public: peer.PublicKey, Preshared: &peer.PresharedKey, ReplaceAllowed: true}
		for _, a := range peer.AllowedIPs {
			change.Allowed = append(change.Allowed, engine.AllowedChange{Prefix: a})
		}
		if err := w.changePeers(t, c.Name, e, change); err != nil {
			return fmt.Errorf("add a peer: %w", err)
		}
		if _, err := w.stdout.Write(text); err != nil {
			// Nobody will ever have its private key.
			_, failed := w.applyPeer(c.Name, engine.PeerChange{Public: peer.PublicKey, Remove: true})
			return t.undo([]edit{e}, errors.Join(fmt.Errorf("print the peer's configuration: %w", err), failed))
		}
		if theirs.Interface.PrivateKey.IsZero() {
			fmt.Fprintln(w.stderr, "vpnguard: the peer puts its own PrivateKey in")
		}
		return nil
	})
}

// peer makes the server's view of a new peer, and the peer's own configuration.
func (c *peersAddCommand) peer(server wgconf.Config) (wgconf.Peer, wgconf.Config, error) {
	var ours wgconf.Peer
	theirs := wgconf.Config{Interface: wgconf.Interface{MTU: server.Interface.MTU, DNS: c.DNS}}
	var at wgconf.Peer
	var err error
	if at.Endpoint, err = c.endpoint(server.Interface.ListenPort); err != nil {
		return ours, theirs, err
	}
	if at.PublicKey, err = server.Interface.PrivateKey.Public(); err != nil {
		return ours, theirs, err
	}
	if c.PublicKey == "" {
		if theirs.Interface.PrivateKey, err = key.NewPrivate(nil); err != nil {
			return ours, theirs, err
		}
		ours.PublicKey, err = theirs.Interface.PrivateKey.Public()
	} else if ours.PublicKey, err = key.ParsePublic(c.PublicKey); err != nil {
		err = fmt.Errorf("--public-key: %w", err)
	}
	if err != nil {
		return ours, theirs, err
	}
	if c.Preshared {
		if ours.PresharedKey, err = key.NewPreshared(nil); err != nil {
			return ours, theirs, err
		}
		at.PresharedKey = ours.PresharedKey
	}
	addresses, err := c.addresses(server)
	if err != nil {
		return ours, theirs, err
	}
	for _, a := range addresses {
		ours.AllowedIPs = append(ours.AllowedIPs, netip.PrefixFrom(a, a.BitLen()))
	}
	theirs.Interface.Addresses = ours.AllowedIPs
	at.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	if len(c.Route) > 0 {
		at.AllowedIPs = nil
		for _, r := range c.Route {
			at.AllowedIPs = append(at.AllowedIPs, r.Masked())
		}
	}
	at.Keepalive = time.Duration(c.Keepalive) * time.Second
	theirs.Peers = []wgconf.Peer{at}
	return ours, theirs, c.check(theirs)
}

// check reads the peer's configuration as the peer will.
func (c *peersAddCommand) check(theirs wgconf.Config) error {
	if theirs.Interface.PrivateKey.IsZero() {
		any, err := key.NewPrivate(nil)
		if err != nil {
			return err
		}
		theirs.Interface.PrivateKey = any
	}
	_, err := wgconf.Parse("the peer's configuration", wgconf.Format(theirs))
	return err
}

// endpoint is the server's address as the peer is told.
func (c *peersAddCommand) endpoint(port uint16) (endpoint.OrName, error) {
	if e, err := endpoint.ParseOrName(c.Endpoint + "/udp"); err == nil {
		return e, nil
	}
	host, err := endpoint.ParseHost(string(bytes.Trim([]byte(c.Endpoint), "[]")))
	switch {
	case err != nil:
		return endpoint.OrName{}, fmt.Errorf("--endpoint %q: %w", c.Endpoint, err)
	case port == 0:
		return endpoint.OrName{}, fmt.Errorf("--endpoint %q has no port, and the server's file has no ListenPort", c.Endpoint)
	}
	return endpoint.OrName{Host: host, Port: port, Proto: endpoint.UDP}, nil
}

// addresses are those that were asked for, or the next free one of each network.
func (c *peersAddCommand) addresses(server wgconf.Config) ([]netip.Addr, error) {
	have := taken(server)
	if len(c.Address) > 0 {
		for _, a := range c.Address {
			one := netip.PrefixFrom(a, a.BitLen())
			for _, h := range have {
				if h == one {
					return nil, fmt.Errorf("--address %s is taken", a)
				}
			}
		}
		return c.Address, nil
	}
	var out []netip.Addr
	for _, own := range server.Interface.Addresses {
		if own.Bits() == own.Addr().BitLen() {
			continue // an address alone is no network
		}
		a, err := wgconf.Free(own, have)
		if err != nil {
			return nil, fmt.Errorf("%w: --address names one elsewhere", err)
		}
		out = append(out, a)
		have = append(have, netip.PrefixFrom(a, a.BitLen()))
	}
	if len(out) == 0 {
		return nil, errors.New("the server's Address names no network to take an address from, such as 10.8.0.1/24: --address names one (" + strconv.Itoa(len(server.Interface.Addresses)) + " addresses are there)")
	}
	return out, nil
}
