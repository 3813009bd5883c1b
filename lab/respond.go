package lab

import (
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

const internetServices, gatewayServices, serverServices = "internet", "gateway", "server"

// ServeAtServer has the responders answer on the VPN server's own addresses too,
// as those of whoever uses a port of it for himself.
func (l *Lab) ServeAtServer() error {
	cmd, err := startTask(l.Server.role(l.ctx, 0, "respond", serverServices))
	if err != nil {
		return fmt.Errorf("start responders in %q: %w", l.Server.Name, err)
	}
	l.tasks = append(l.tasks, cmd)
	return nil
}

func respondRole(which string) error {
	services := map[string]func() error{
		internetServices: func() error {
			for _, a := range []netip.Addr{site.Public, site.PublicTwo, site.Web, site.Public6, site.PublicTwo6} {
				if err := probe.ServeAll(a); err != nil {
					return err
				}
			}
			return nil
		},
		serverServices: func() error {
			for _, a := range []netip.Addr{site.Server, site.Server6} {
				if err := probe.ServeAll(a); err != nil {
					return err
				}
			}
			return nil
		},
		gatewayServices: func() error {
			for _, a := range []netip.Addr{site.Gateway, site.Gateway6} {
				if err := probe.ServeDNS(a); err != nil {
					return err
				}
			}
			return nil
		},
	}
	serve, ok := services[which]
	if !ok {
		return fmt.Errorf("unknown services %q", which)
	}
	if err := serve(); err != nil {
		return err
	}
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
