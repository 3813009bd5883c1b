// Package openconnect runs the system's OpenConnect as client and an ocserv as
// server in a laboratory.
package openconnect

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/daemon"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
)

// A Server is an ocserv in the laboratory's server node. The zero value of all
// but Program listens on 203.0.113.10:443, by TLS and DTLS.
type Server struct {
	// Program is the path of ocserv: installed, Debian starts one on the
	// machine, so that it is unpacked elsewhere.
	Program string
	Address netip.Addr
	Port    uint16
	// Split gives only these prefixes to the client.
	Split []string
	// NoUDP leaves DTLS out.
	NoUDP bool
	Extra []string // whole lines
}

// Endpoint is where the server listens.
func (s Server) Endpoint() netip.AddrPort {
	if !s.Address.IsValid() {
		s.Address = site.Server
	}
	if s.Port == 0 {
		s.Port = 443
	}
	return netip.AddrPortFrom(s.Address, s.Port)
}

// Start starts the server and waits until it listens.
func (s Server) Start(ctx context.Context, l *lab.Lab, pki openvpn.PKI) (*daemon.Process, error) {
	file := filepath.Join(l.Dir, "ocserv.conf")
	if err := os.WriteFile(file, []byte(s.config(l.Dir, pki)), 0o644); err != nil {
		return nil, fmt.Errorf("write the configuration of ocserv: %w", err)
	}
	p, err := daemon.Start(ctx, l, l.Server, "ocserv", s.Program, "--foreground", "--debug", "1", "--config", file)
	if err != nil {
		return nil, err
	}
	return p, p.WaitLog(ctx, "sec-mod initialized", 1)
}

// EndSession lets the server, which runs, end the client's session.
func (s Server) EndSession(ctx context.Context, l *lab.Lab) error {
	occtl := filepath.Join(filepath.Dir(s.Program), "../bin/occtl")
	_, err := l.Server.Run(ctx, occtl, "--socket-file", filepath.Join(l.Dir, "occtl.sock"), "disconnect", "user", "client")
	return err
}

func (s Server) config(dir string, pki openvpn.PKI) string {
	at := s.Endpoint()
	b := &strings.Builder{}
	file := func(name string) string { return filepath.Join(pki.Dir, name) }
	fmt.Fprintf(b, "auth = \"certificate\"\ncert-user-oid = 2.5.4.3\nca-cert = %s\nserver-cert = %s\nserver-key = %s\n", file("ca.crt"), file("server.crt"), file("server.key"))
	fmt.Fprintf(b, "listen-host = %s\ntcp-port = %d\n", at.Addr(), at.Port())
	if !s.NoUDP {
		fmt.Fprintf(b, "udp-port = %d\n", at.Port())
	}
	// The laboratory is the sandbox, and may have one uid.
	fmt.Fprintf(b, "run-as-user = root\nrun-as-group = root\nisolate-workers = false\nsocket-file = %s\nuse-occtl = true\nocctl-socket-file = %s\n", filepath.Join(dir, "ocserv.sock"), filepath.Join(dir, "occtl.sock"))
	b.WriteString("device = vpns\nipv4-network = 10.8.0.0/24\nipv6-network = fd00:8:0:0::/64\nipv6-subnet-prefix = 128\n")
	b.WriteString("keepalive = 5\ndpd = 3\nmobile-dpd = 3\ntry-mtu-discovery = false\ncisco-client-compat = true\ncompression = false\nrekey-time = 172800\nmax-clients = 4\nmax-same-clients = 4\n")
	routes := s.Split
	if routes == nil {
		routes = []string{"default"}
	}
	for _, r := range routes {
		fmt.Fprintf(b, "route = %s\n", r)
	}
	return b.String() + strings.Join(append(s.Extra, ""), "\n")
}

// Client is an OpenConnect in the laboratory's client node, its tunnel tun0.
type Client struct {
	Server netip.AddrPort
	Extra  []string // arguments
}

// A Process is a running openconnect.
type Process struct {
	*daemon.Process
	lab *lab.Lab
}

// Start starts the client, with the distribution's vpnc-script. It does not
// wait: see [Process.WaitUp].
func (c Client) Start(ctx context.Context, l *lab.Lab, pki openvpn.PKI) (*Process, error) {
	file := func(name string) string { return filepath.Join(pki.Dir, name) }
	args := []string{"--non-inter", "--interface", "tun0", "--cafile", file("ca.crt"), "--certificate", file("client.crt"), "--sslkey", file("client.key"),
		"--timestamp", "--force-dpd", "3", "--reconnect-timeout", "60"}
	args = append(append(args, c.Extra...), "https://"+c.Server.String()+"/")
	p, err := daemon.Start(ctx, l, l.Client, "openconnect", "openconnect", args...)
	if err != nil {
		return nil, err
	}
	return &Process{p, l}, nil
}

// Completed is the word that openconnect logs when its session is configured,
// once. Its script may go on after that.
const Completed = "Configured as "

// WaitUp waits for the session and, by the script's last step, for the routes.
func (p *Process) WaitUp(ctx context.Context) error {
	if err := p.WaitLog(ctx, Completed, 1); err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := p.lab.Client.Run(ctx, "ip", "-6", "route", "show", "dev", "tun0")
		if err == nil && strings.Contains(out, "default ") {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the routes of openconnect: %w:\n%s\n%s", ctx.Err(), out, p.Tail())
		case <-p.Done():
			return fmt.Errorf("wait for the routes of openconnect: it ended:\n%s", p.Tail())
		case <-tick.C:
		}
	}
}
