package lab

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// SeenAs asks the responder at to which address a program of the node, running
// as uid, has for it. Network is udp or tcp.
func (l *Lab) SeenAs(ctx context.Context, node *Node, uid int, network string, to netip.AddrPort) (netip.Addr, error) {
	var seen netip.Addr
	err := node.ask(ctx, uid, "errand", probe.Errand{Network: network, To: to}, &seen)
	return seen, err
}

// Transfer moves n bytes each way between the client and the responder at to,
// and compares hashes.
func (l *Lab) Transfer(ctx context.Context, uid int, to netip.Addr, n int64) error {
	var none netip.Addr
	return l.Client.ask(ctx, uid, "errand", probe.Errand{To: netip.AddrPortFrom(to, probe.BulkPort), Bytes: n}, &none)
}

// TunnelWorks checks by TCP and UDP that the internet sees the client as the
// VPN server: for IPv4, and for IPv6 if v6 is one of its addresses.
func (l *Lab) TunnelWorks(ctx context.Context, uid int, v4, v6 netip.Addr) error {
	for _, way := range []struct{ to, want netip.Addr }{{site.Public, v4}, {site.Public6, v6}} {
		if !way.want.IsValid() {
			continue
		}
		for _, network := range []string{"tcp", "udp"} {
			seen, err := l.SeenAs(ctx, l.Client, uid, network, netip.AddrPortFrom(way.to, probe.EchoPort))
			if err != nil {
				return err
			}
			if seen != way.want {
				return fmt.Errorf("%s to %s: the internet sees %s, not the server's %s", network, way.to, seen, way.want)
			}
		}
	}
	return nil
}
