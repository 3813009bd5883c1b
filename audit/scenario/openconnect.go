package scenario

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vpnguard/vpnguard/lab/openconnect"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// openconnectClient is the system's OpenConnect at an ocserv, by TLS and DTLS.
type openconnectClient struct {
	pki     openvpn.PKI
	server  openconnect.Server
	process *openconnect.Process
	v4, v6  netip.Addr
}

func (c *openconnectClient) serve(b *bench) (err error) {
	if c.pki, err = openvpn.NewPKI(filepath.Join(b.lab.Dir, "pki")); err != nil {
		return err
	}
	c.server = openconnect.Server{Program: "ocserv", Extra: []string{"dns = " + site.Public.String()}}
	if b.order.Ocserv != "" {
		c.server.Program = b.order.Ocserv
	}
	if b.group.want.v6Server {
		c.server.Address = site.Server6
	}
	if !b.group.want.keepalive {
		// Carriers are counted.
		c.server.Extra = append(c.server.Extra, "keepalive = 600", "dpd = 600", "mobile-dpd = 600")
	}
	_, err = c.server.Start(b.ctx, b.lab, c.pki)
	return err
}

func (c *openconnectClient) tunnel() tunnel {
	return tunnel{device: "tun0", far: "vpns0", v4: c.v4, v6: c.v6, endpoint: c.server.Endpoint(), proto: wire.TCP, second: wire.UDP}
}

func (c *openconnectClient) connect(b *bench) (err error) {
	client := openconnect.Client{Server: c.server.Endpoint()}
	if b.group.want.ipv4Only {
		client.Extra = append(client.Extra, "--disable-ipv6")
	}
	if !b.group.want.keepalive {
		client.Extra = append(client.Extra, "--force-dpd", "600")
	}
	if b.guarded() && b.order.Guard == "vpnguard" {
		if _, err := b.lab.Client.Run(b.ctx, b.program(), "hooks", "install", "openconnect"); err != nil {
			return err
		}
	}
	if c.process, err = client.Start(b.ctx, b.lab, c.pki); err != nil {
		return err
	}
	if err := c.process.WaitLog(b.ctx, openconnect.Completed, 1); err != nil {
		return err
	}
	if err := b.routed("tun0"); err != nil {
		return fmt.Errorf("%w; openconnect says:\n%s", err, c.process.Tail())
	}
	if err := c.readAddresses(b); err != nil {
		return err
	}
	if b.order.Guard == "vpnguard" {
		return nil // its hooks were called
	}
	return b.hook("up")
}

// readAddresses finds out what the server gave.
func (c *openconnectClient) readAddresses(b *bench) error {
	out, err := b.lab.Client.Run(b.ctx, "ip", "-o", "addr", "show", "dev", "tun0", "scope", "global")
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		p, err := netip.ParsePrefix(f[3])
		switch {
		case err != nil:
		case p.Addr().Is4():
			c.v4 = p.Addr()
		default:
			c.v6 = p.Addr()
		}
	}
	if !c.v4.IsValid() {
		return fmt.Errorf("read the tunnel's addresses: %q has none", out)
	}
	return nil
}

func (c *openconnectClient) kill(b *bench) error {
	if err := c.process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_, err := c.process.Wait(b.ctx)
	return err
}

// restart is what the client does when its user comes to another network.
func (c *openconnectClient) restart(*bench) error { return c.process.Signal(syscall.SIGUSR2) }
