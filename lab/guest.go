package lab

import (
	"context"
	"fmt"

	"github.com/vpnguard/vpnguard/lab/site"
)

func (l *Lab) guest() (err error) {
	if l.Guest == nil {
		l.Guest, err = startNode("ct")
	}
	return err
}

// EnableGuest hangs a guest on the client, as a container is: guest0 on the
// client, eth0 in the guest, 172.31.0.2, forwarded and translated by the
// client. The client's forwarding stays on until [Lab.Close].
func (l *Lab) EnableGuest(ctx context.Context) error {
	if err := l.guest(); err != nil {
		return err
	}
	script := fmt.Sprintf(`
ip link add guest0 address 02:00:00:00:04:01 type veth peer name eth0 netns %d address 02:00:00:00:04:02
DEV=guest0`, l.Guest.PID()) + quiet + `
ip -batch - <<END
link set guest0 up
addr add 172.31.0.1/24 brd + dev guest0
addr add fd00:31::1/64 dev guest0 nodad
END
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
nft -f - <<END
table inet guest {
	chain nat {
		type nat hook postrouting priority srcnat
		oifname != "guest0" ip saddr 172.31.0.0/24 masquerade
		oifname != "guest0" ip6 saddr fd00:31::/64 masquerade
	}
}
END
`
	if err := l.Client.Script(ctx, script); err != nil {
		return err
	}
	err := l.Guest.Script(ctx, "DEV=eth0\n"+quiet+`
echo 0 65535 > /proc/sys/net/ipv4/ping_group_range 2>/dev/null || echo 0 0 > /proc/sys/net/ipv4/ping_group_range
ip -batch - <<END
link set eth0 up
addr add 172.31.0.2/24 brd + dev eth0
addr add fd00:31::2/64 dev eth0 nodad
route add default via 172.31.0.1
route add ::/0 via fd00:31::1
END
`)
	if err != nil {
		return err
	}
	// The kernel's routes follow the carrier, and the link's own address its own
	// check: a snapshot must not come in between.
	return l.Client.Script(ctx, `
i=0
until ip -6 addr show dev guest0 scope link -tentative | grep -q fe80 && ! ip route show table all dev guest0 | grep -q linkdown &&
	ip -6 route show table all dev guest0 | grep -q 'anycast fd00:31::'; do
	i=$((i+1)); [ $i -lt 200 ] || { ip addr show dev guest0; ip -6 route show table all dev guest0; echo "the guest's link does not settle"; exit 1; }
	sleep 0.05
done
`)
}

// EnableJail makes a guest without any network: what it can reach are files and
// unix sockets below [WorkDir].
func (l *Lab) EnableJail() error { return l.guest() }

// EnableMacvlan gives the guest a macvlan child of the client's eth0, mv0, with
// a link address and addresses of its own on the LAN. It sends its reports
// before this returns.
func (l *Lab) EnableMacvlan(ctx context.Context) error {
	if err := l.guest(); err != nil {
		return err
	}
	script := fmt.Sprintf("ip link add link eth0 name mv0 address %s netns %d type macvlan mode bridge\n", site.MacvlanMAC, l.Guest.PID())
	if err := l.Client.Script(ctx, script); err != nil {
		return err
	}
	if err := l.Guest.Script(ctx, "DEV=mv0\n"+quiet+`
ip -batch - <<END
link set mv0 up
addr add 192.168.1.102/24 brd + dev mv0
addr add 2001:db8:1::102/64 dev mv0 nodad
END
# A guest that hangs on both keeps its first way for everything unbound.
ip route replace default via 192.168.1.1 dev mv0 metric 2000
ip -6 route replace default via 2001:db8:1::1 dev mv0 metric 2000
`); err != nil {
		return err
	}
	return l.Settled(ctx, l.Policy(), settleTime)
}

// EnableBridged gives the guest a cable to a bridge of the client's, with
// addresses of its own on the LAN, 192.168.1.103.
func (l *Lab) EnableBridged(ctx context.Context, bridge string) error {
	if err := l.guest(); err != nil {
		return err
	}
	// Without addresses of the port's own it says nothing by itself.
	if err := l.Client.Script(ctx, fmt.Sprintf(`
ip link add guest0 address 02:00:00:00:04:01 type veth peer name eth0 netns %d address 02:00:00:00:04:02
echo 1 > /proc/sys/net/ipv6/conf/guest0/disable_ipv6
ip link set guest0 master %s up
`, l.Guest.PID(), bridge)); err != nil {
		return err
	}
	if err := l.Guest.Script(ctx, "DEV=eth0\n"+quiet+`
echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6
ip -batch - <<END
link set eth0 up
addr add 192.168.1.103/24 brd + dev eth0
route add default via 192.168.1.1
END
`); err != nil {
		return err
	}
	return l.Settled(ctx, l.Policy(), settleTime)
}
