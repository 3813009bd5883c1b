package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// openvpnClient is the system's OpenVPN, with the guard in its hooks.
type openvpnClient struct {
	pki     openvpn.PKI
	servers []openvpn.Server
	running []*openvpn.Process
	process *openvpn.Process
	name    string
	remote  netip.AddrPort
	ups     int
	v6      bool
	active  int // server
}

// openvpnMark is on OpenVPN's packets, so that the guard can tell them from those
// of root's other programs. It is the one that the probes forge.
const openvpnMark = 0xca6c

func (c *openvpnClient) serve(b *bench) (err error) {
	if c.pki, err = openvpn.NewPKI(filepath.Join(b.lab.Dir, "pki")); err != nil {
		return err
	}
	w := b.group.want
	// Carriers are counted: no keepalive in the time of a scenario.
	s := openvpn.Server{Ping: time.Minute, Restart: 5 * time.Minute, IPv4Only: w.ipv4Only, Push: []string{"dhcp-option DNS " + site.Public.String()}}
	c.v6 = !w.ipv4Only
	if w.keepalive || w.second {
		s.Ping, s.Restart = time.Second, 3*time.Second
	}
	if w.v6Server {
		s.Address = site.Server6
	}
	c.servers = []openvpn.Server{s}
	if w.second {
		s.Number, s.Address = 1, site.ServerTwo
		c.servers = append(c.servers, s)
	}
	c.name, c.remote = w.name, c.servers[0].Endpoint()
	if w.remote.IsValid() {
		c.remote = w.remote
	}
	for _, s := range c.servers {
		p, err := s.Start(b.ctx, b.lab, c.pki)
		if err != nil {
			return err
		}
		c.running = append(c.running, p)
	}
	return nil
}

func (c *openvpnClient) tunnel() tunnel {
	t := tunnel{device: "tun0", far: fmt.Sprintf("tun%d", c.active), v4: netip.MustParseAddr(fmt.Sprintf("10.8.%d.2", c.active)), endpoint: c.remote, proto: wire.UDP}
	if c.v6 {
		t.v6 = netip.MustParseAddr(fmt.Sprintf("fd00:8:0:%d::1000", c.active))
	}
	if c.active > 0 {
		t.endpoint = c.servers[c.active].Endpoint()
	}
	return t
}

func (c *openvpnClient) connect(b *bench) (err error) {
	// The server's other ports are reached by the tunnel, as README.md says.
	client := openvpn.Client{Extra: []string{"allow-recursive-routing", fmt.Sprintf("mark %d", openvpnMark)}}
	if len(b.order.Profile) > 0 {
		p, err := openvpnProfile(string(b.order.Profile))
		if err != nil {
			return err
		}
		client.Extra = append(client.Extra, p.kept...)
	}
	if c.name != "" {
		client.Extra = append(client.Extra, fmt.Sprintf("remote %s %d udp4", c.name, c.remote.Port()))
	} else {
		for _, s := range c.servers {
			client.Remotes = append(client.Remotes, s.Endpoint())
		}
	}
	if b.guarded() {
		if client.Up, client.Down, err = b.hookPrograms(); err != nil {
			return err
		}
	}
	if c.process, err = client.Start(b.ctx, b.lab, c.pki); err != nil {
		return err
	}
	c.ups = 1
	return c.process.WaitUp(b.ctx, c.ups)
}

// hookPrograms are the guard as a client's hooks call it.
func (b *bench) hookPrograms() (up, down string, err error) {
	if b.order.Guard == "vpnguard" {
		return b.program() + " up", b.program() + " down", nil
	}
	script := filepath.Join(b.lab.Dir, "guard.sh")
	if err := errors.Join(os.WriteFile(script, []byte("#!/bin/sh\n"+b.order.Guard+"\n"), 0o755), os.Chmod(script, 0o755)); err != nil {
		return "", "", fmt.Errorf("write the guard's script: %w", err)
	}
	return script, script, nil
}

func (c *openvpnClient) kill(b *bench) error {
	if err := c.process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_, err := c.process.Wait(b.ctx)
	return err
}

func (c *openvpnClient) restart(b *bench) error {
	if err := c.process.Signal(syscall.SIGUSR1); err != nil {
		return err
	}
	c.ups++
	return c.process.WaitUp(b.ctx, c.ups)
}

// away makes the client restart while its server does not answer.
func (c *openvpnClient) away(*bench) error { return c.process.Signal(syscall.SIGUSR1) }

// failover ends the first server and waits for the tunnel to the second.
func (c *openvpnClient) failover(b *bench) error {
	if err := c.running[0].Signal(syscall.SIGKILL); err != nil {
		return err
	}
	c.ups++
	if err := c.process.WaitUp(b.ctx, c.ups); err != nil {
		return err
	}
	c.active = 1
	return nil
}
