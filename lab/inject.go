package lab

import (
	"context"
	"fmt"
)

// An Injection is what a rogue DHCP server or router makes of the client's
// routes.
type Injection string

// The injections, each a pair of scripts: in the client, and in the gateway
// where that must answer for an address on the LAN.
const (
	HostRoute     Injection = "host route"     // 8.8.8.8/32, DHCP option 121 (CVE-2024-3661)
	NetRoute      Injection = "net route"      // 8.8.8.0/24, option 121
	HalfRoutes    Injection = "half routes"    // 0.0.0.0/1 and 128.0.0.0/1, option 121
	QuarterRoutes Injection = "quarter routes" // four /2, longer than def1
	LocalNet      Injection = "local net"      // 8.8.8.77/24 on eth0 (CVE-2023-36672)
	WideNet       Injection = "wide net"       // 8.8.8.77/5 on eth0; the kernel makes no route for 0.0.0.0/N
	HostRoute6    Injection = "host route v6"  // 2001:db8:80::80/128, RFC 4191
	NetRoute6     Injection = "net route v6"   // 2001:db8:80::/48, RFC 4191
	LocalNet6     Injection = "local net v6"   // 2001:db8:80::77/64 on eth0
)

// Injections are all of them.
var Injections = []Injection{
	HostRoute, NetRoute, HalfRoutes, QuarterRoutes, LocalNet, WideNet, HostRoute6, NetRoute6, LocalNet6,
}

var injections = map[Injection]struct{ client, undo, gateway string }{
	HostRoute: {client: "route add 8.8.8.8/32 via 192.168.1.1 dev eth0", undo: "route del 8.8.8.8/32 dev eth0"},
	NetRoute:  {client: "route add 8.8.8.0/24 via 192.168.1.1 dev eth0", undo: "route del 8.8.8.0/24 dev eth0"},
	// A metric of their own: OpenVPN's def1 routes are the same prefixes.
	HalfRoutes: {
		client: "route prepend 0.0.0.0/1 via 192.168.1.1 dev eth0\nroute prepend 128.0.0.0/1 via 192.168.1.1 dev eth0",
		undo:   "route del 0.0.0.0/1 via 192.168.1.1 dev eth0\nroute del 128.0.0.0/1 via 192.168.1.1 dev eth0",
	},
	QuarterRoutes: {
		client: "route add 0.0.0.0/2 via 192.168.1.1 dev eth0\nroute add 64.0.0.0/2 via 192.168.1.1 dev eth0\nroute add 128.0.0.0/2 via 192.168.1.1 dev eth0\nroute add 192.0.0.0/2 via 192.168.1.1 dev eth0",
		undo:   "route del 0.0.0.0/2 dev eth0\nroute del 64.0.0.0/2 dev eth0\nroute del 128.0.0.0/2 dev eth0\nroute del 192.0.0.0/2 dev eth0",
	},
	LocalNet:   {client: "addr add 8.8.8.77/24 dev eth0", undo: "addr del 8.8.8.77/24 dev eth0", gateway: "proxy_arp"},
	WideNet:    {client: "addr add 8.8.8.77/5 dev eth0", undo: "addr del 8.8.8.77/5 dev eth0", gateway: "proxy_arp"},
	HostRoute6: {client: "route add 2001:db8:80::80/128 via 2001:db8:1::1 dev eth0", undo: "route del 2001:db8:80::80/128 dev eth0"},
	NetRoute6:  {client: "route add 2001:db8:80::/48 via 2001:db8:1::1 dev eth0", undo: "route del 2001:db8:80::/48 dev eth0"},
	LocalNet6:  {client: "addr add 2001:db8:80::77/64 dev eth0 nodad", undo: "addr del 2001:db8:80::77/64 dev eth0", gateway: "proxy_ndp"},
}

// Inject changes the client's routes as a rogue network does, and returns what
// undoes that.
func (l *Lab) Inject(ctx context.Context, i Injection) (undo func(context.Context) error, err error) {
	plan, ok := injections[i]
	if !ok {
		return nil, fmt.Errorf("inject %q: no such injection", i)
	}
	switch plan.gateway {
	case "proxy_arp": // answer for the addresses that are not on the LAN at all
		err = l.Gateway.Script(ctx, "echo 1 > /proc/sys/net/ipv4/conf/lan0/proxy_arp\necho 0 > /proc/sys/net/ipv4/neigh/lan0/proxy_delay\n")
	case "proxy_ndp":
		err = l.Gateway.Script(ctx, "echo 1 > /proc/sys/net/ipv6/conf/lan0/proxy_ndp\necho 0 > /proc/sys/net/ipv6/neigh/lan0/proxy_delay\nip -6 neigh replace proxy 2001:db8:80::80 dev lan0\n")
	}
	if err != nil {
		return nil, fmt.Errorf("inject %q: %w", i, err)
	}
	if err := l.Client.batch(ctx, plan.client); err != nil {
		return nil, fmt.Errorf("inject %q: %w", i, err)
	}
	return func(ctx context.Context) error {
		if err := l.Client.batch(ctx, plan.undo); err != nil {
			return fmt.Errorf("undo %q: %w", i, err)
		}
		return nil
	}, nil
}

func (n *Node) batch(ctx context.Context, lines string) error {
	return n.Script(ctx, "ip -batch - <<END\n"+lines+"\nEND\n")
}

// EnableSubflows lets the client's kernel open MPTCP subflows from its LAN
// address (RFC 8684), as NetworkManager does for each of its connections.
func (l *Lab) EnableSubflows(ctx context.Context) error {
	return l.Client.Script(ctx, `
echo 1 > /proc/sys/net/mptcp/enabled
ip mptcp limits set subflow 4 add_addr_accepted 4
ip mptcp endpoint add 192.168.1.101 dev eth0 subflow
`)
}
