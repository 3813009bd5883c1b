package scenario

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vpnguard/vpnguard/lab/daemon"
)

// commandClient is any client that speaks WireGuard, started by a command of the
// user's. It stays in the foreground, and finds in its environment:
//
//	SERVER, PORT   where the server is
//	DEV            the name that its device must have
//	CONF           a file in wg-quick's format with keys, addresses and the server
//	GATEWAY        the LAN's router, by eth0
type commandClient struct{ ownClient }

func (c *commandClient) connect(b *bench) error {
	d := c.dial
	conf := filepath.Join(b.lab.Dir, ownDevice+".conf")
	text := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = %s\nMTU = 1420\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nEndpoint = %s\nAllowedIPs = %s\n",
		d.Private, prefixes(d.Addresses), d.Peer, d.Shared, c.endpoint, prefixes(d.Allowed))
	if err := errors.Join(os.WriteFile(conf, []byte(text), 0o600), os.Chmod(conf, 0o600)); err != nil {
		return fmt.Errorf("write the client's file: %w", err)
	}
	cmd := b.lab.Client.Command(b.ctx, "sh", "-c", b.order.Command)
	cmd.Env = append(os.Environ(), "SERVER="+c.endpoint.Addr().String(), fmt.Sprintf("PORT=%d", c.endpoint.Port()),
		"DEV="+ownDevice, "CONF="+conf, "GATEWAY="+d.Gateway.String())
	// A group of its own, to be killed as one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if c.process, err = daemon.StartCommand(b.lab, "client", cmd); err != nil {
		return err
	}
	if err := b.routed(ownDevice); err != nil {
		return fmt.Errorf("%w; the command says:\n%s", err, c.process.Tail())
	}
	return b.hook("up")
}

func (c *commandClient) kill(b *bench) error {
	if err := syscall.Kill(-c.process.PID(), syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill the client's command: %w", err)
	}
	_, err := c.process.Wait(b.ctx)
	return err
}

func (c *commandClient) restart(*bench) error {
	return errors.New("the laboratory does not know how to restart this client")
}
