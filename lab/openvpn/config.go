package openvpn

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/site"
)

// A Server is an OpenVPN server in the laboratory's server node. The zero
// value listens on 203.0.113.10:1194/udp.
type Server struct {
	// Proto is udp (empty) or tcp; the family is Address's.
	Proto   string
	Address netip.Addr
	Port    uint16
	// Number of the server, for several at once: the tunnel networks are
	// 10.8.NUMBER.0/24 and fd00:8:0:NUMBER::/64, the device tunNUMBER.
	Number int
	// IPv4Only leaves IPv6 out of the tunnel.
	IPv4Only bool
	// Split pushes no default route.
	Split bool
	// Ping and Restart are the keepalive, whole seconds; zero is 1 and 5.
	Ping, Restart time.Duration
	Push          []string // each the argument of a push line
	Extra         []string // whole lines
}

// Endpoint is where the server listens.
func (s Server) Endpoint() netip.AddrPort {
	if !s.Address.IsValid() {
		s.Address = site.Server
	}
	if s.Port == 0 {
		s.Port = 1194
	}
	return netip.AddrPortFrom(s.Address, s.Port)
}

// Start starts the server and waits until it listens.
func (s Server) Start(ctx context.Context, l *lab.Lab, pki PKI) (*Process, error) {
	p, err := start(ctx, l, l.Server, fmt.Sprintf("server%d", s.Number), s.config(pki))
	if err != nil {
		return nil, err
	}
	return p, p.WaitUp(ctx, 1)
}

func (s Server) config(pki PKI) string {
	if s.Ping == 0 {
		s.Ping = time.Second
	}
	if s.Restart == 0 {
		s.Restart = 5 * time.Second
	}
	at := s.Endpoint()
	b := &strings.Builder{}
	fmt.Fprintf(b, "dev tun%d\ndev-type tun\ntopology subnet\ndh none\n", s.Number)
	fmt.Fprintf(b, "proto %s\nlocal %s\nport %d\n", protocol(s.Proto, at.Addr(), "-server"), at.Addr(), at.Port())
	fmt.Fprintf(b, "server 10.8.%d.0 255.255.255.0\n", s.Number)
	fmt.Fprintf(b, "keepalive %d %d\n", s.Ping/time.Second, s.Restart/time.Second)
	redirect := "redirect-gateway def1"
	if !s.IPv4Only {
		fmt.Fprintf(b, "server-ipv6 fd00:8:0:%d::/64\n", s.Number)
		redirect += " ipv6"
	}
	push := s.Push
	if !s.Split {
		push = append([]string{redirect}, push...)
	}
	for _, line := range push {
		fmt.Fprintf(b, "push \"%s\"\n", line)
	}
	return b.String() + pki.lines("server") + common + strings.Join(append(s.Extra, ""), "\n")
}

// The kernel has no data channel offload here; with it the owner of carrier
// packets would be another one.
const common = "data-ciphers AES-256-GCM\ndisable-dco\nverb 3\nauth-nocache\n"

// A Client is an OpenVPN client in the laboratory's client node.
type Client struct {
	// Number of the client, for several at once: the device is tunNUMBER.
	Number  int
	Remotes []netip.AddrPort
	Proto   string // udp (empty) or tcp
	// User, with group nogroup, is what it drops to. Empty stays root.
	User       string
	PersistTun bool
	// Up and Down are hook commands as OpenVPN parses them; empty is none.
	Up, Down string
	Extra    []string // whole lines
}

// Start starts the client. It does not wait: see [Process.WaitUp].
func (c Client) Start(ctx context.Context, l *lab.Lab, pki PKI) (*Process, error) {
	return start(ctx, l, l.Client, fmt.Sprintf("client%d", c.Number), c.Config(pki))
}

// Config is the client's configuration file.
func (c Client) Config(pki PKI) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "client\ndev tun%d\ndev-type tun\nnobind\nremote-cert-tls server\npersist-key\n", c.Number)
	// Short waits, so that a fail-over takes seconds.
	b.WriteString("connect-retry 1 1\nserver-poll-timeout 3\nscript-security 2\n")
	for _, r := range c.Remotes {
		fmt.Fprintf(b, "remote %s %d %s\n", r.Addr(), r.Port(), protocol(c.Proto, r.Addr(), "-client"))
	}
	if c.User != "" {
		fmt.Fprintf(b, "user %s\ngroup nogroup\n", c.User)
	}
	if c.PersistTun {
		b.WriteString("persist-tun\n")
	}
	if c.Up != "" {
		fmt.Fprintf(b, "up %q\n", c.Up)
	}
	if c.Down != "" {
		fmt.Fprintf(b, "down %q\n", c.Down)
	}
	return b.String() + pki.lines("client") + common + strings.Join(append(c.Extra, ""), "\n")
}

// protocol is OpenVPN's name of a protocol and family, such as tcp6-client.
func protocol(proto string, addr netip.Addr, tcpSuffix string) string {
	family := "4"
	if addr.Is6() {
		family = "6"
	}
	if proto == "tcp" {
		return "tcp" + family + tcpSuffix
	}
	return "udp" + family
}
