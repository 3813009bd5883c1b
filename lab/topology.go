package lab

import (
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vpnguard/vpnguard/lab/site"
)

// cable plugs the nodes together; all links are still down.
func (l *Lab) cable() error {
	cl, gw, in, vp := l.Client.PID(), l.Gateway.PID(), l.Internet.PID(), l.Server.PID()
	batch := fmt.Sprintf(`
link add eth0 netns %d address %s type veth peer name lan0 netns %d address %s
link add wan0 netns %d address 02:00:00:00:02:02 type veth peer name gw0 netns %d address 02:00:00:00:02:01
link add eth0 netns %d address 02:00:00:00:03:10 type veth peer name vp0 netns %d address 02:00:00:00:03:01
`, cl, site.ClientMAC, gw, site.GatewayMAC, gw, in, vp, in)
	cmd := exec.CommandContext(l.ctx, "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("plug the nodes together: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (l *Lab) configure() error {
	g, ctx := errgroup.WithContext(l.ctx)
	for node, script := range map[*Node]string{
		l.Client: clientScript, l.Gateway: gatewayScript, l.Internet: internetScript, l.Server: serverScript,
	} {
		g.Go(func() error { return node.Script(ctx, script) })
	}
	return g.Wait()
}

// A new IPv4 namespace copies the machine's settings, so that all that matter
// are written here: the kernel's own defaults, which leave every attack open.
const kernelDefaults = `
for c in all default "$DEV"; do
	echo 0 > /proc/sys/net/ipv4/conf/$c/rp_filter
	echo 0 > /proc/sys/net/ipv4/conf/$c/arp_ignore
	echo 0 > /proc/sys/net/ipv4/conf/$c/arp_announce
	echo 1 > /proc/sys/net/ipv4/conf/$c/accept_redirects
	echo 1 > /proc/sys/net/ipv4/conf/$c/send_redirects
	echo 0 > /proc/sys/net/ipv4/conf/$c/accept_source_route
done
`

// quiet keeps a new interface from talking on its own: no duplicate address
// detection, no router solicitations, and the MLD reports of its first
// addresses at once instead of over seconds.
const quiet = `
echo 0 > /proc/sys/net/ipv6/conf/$DEV/accept_dad
echo 0 > /proc/sys/net/ipv6/conf/$DEV/dad_transmits
echo 0 > /proc/sys/net/ipv6/conf/$DEV/router_solicitations
echo 1 > /proc/sys/net/ipv6/conf/$DEV/mldv2_unsolicited_report_interval
`

const clientScript = "DEV=eth0\n" + kernelDefaults + quiet + `
echo 0 > /proc/sys/net/ipv4/ip_forward
# Ping sockets for all, as systemd sets it; without them only root can ping.
echo 0 65535 > /proc/sys/net/ipv4/ping_group_range 2>/dev/null || echo 0 0 > /proc/sys/net/ipv4/ping_group_range
ip -batch - <<END
link set eth0 up
addr add 192.168.1.101/24 brd + dev eth0
addr add 2001:db8:1::101/64 dev eth0 nodad
route add default via 192.168.1.1 dev eth0
route add ::/0 via 2001:db8:1::1 dev eth0
END
printf 'nameserver 192.168.1.1\n' > /etc/resolv.conf
`

const gatewayScript = "DEV=lan0\n" + kernelDefaults + quiet + "DEV=wan0\n" + quiet + `
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
ip -batch - <<END
link set lan0 up
link set wan0 up
addr add 192.168.1.1/24 brd + dev lan0
addr add 2001:db8:1::1/64 dev lan0 nodad
addr add 198.51.100.2/24 brd + dev wan0
addr add 2001:db8:c::2/64 dev wan0 nodad
route add default via 198.51.100.1
route add ::/0 via 2001:db8:c::1
END
nft -f - <<END
table ip lab {
	chain nat {
		type nat hook postrouting priority srcnat
		oifname "wan0" masquerade
	}
}
END
`

const internetScript = "DEV=gw0\n" + kernelDefaults + quiet + "DEV=vp0\n" + quiet + `
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
ip -batch - <<END
link set gw0 up
link set vp0 up
addr add 198.51.100.1/24 brd + dev gw0
addr add 2001:db8:c::1/64 dev gw0 nodad
addr add 203.0.113.1/24 brd + dev vp0
addr add 2001:db8:5::1/64 dev vp0 nodad
addr add 8.8.8.8/32 dev lo
addr add 1.1.1.1/32 dev lo
addr add 203.0.113.80/32 dev lo
addr add 2001:db8:80::80/128 dev lo nodad
addr add 2001:4860:4860::8888/128 dev lo nodad
route add 2001:db8:1::/64 via 2001:db8:c::2
END
`

const serverScript = "DEV=eth0\n" + kernelDefaults + quiet + `
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
ip -batch - <<END
link set eth0 up
addr add 203.0.113.10/24 brd + dev eth0
addr add 203.0.113.11/24 brd + dev eth0
addr add 2001:db8:5::10/64 dev eth0 nodad
addr add 2001:db8:5::11/64 dev eth0 nodad
route add default via 203.0.113.1
route add ::/0 via 2001:db8:5::1
END
nft -f - <<END
table inet lab {
	chain nat {
		type nat hook postrouting priority srcnat
		oifname "eth0" ip saddr 10.8.0.0/16 snat ip to 203.0.113.10
		oifname "eth0" ip6 saddr fd00:8::/48 snat ip6 to 2001:db8:5::10
	}
}
END
`

// settleTime is far more than the reports' distance of 1 ms, see quiet.
const settleTime = 30 * time.Millisecond

// settle waits until the client's own reports are over, then puts their
// interval back to the kernel's default.
func (l *Lab) settle() error {
	if err := l.Settled(l.ctx, l.Policy(), settleTime); err != nil {
		return err
	}
	return l.Client.Script(l.ctx, "echo 1000 > /proc/sys/net/ipv6/conf/eth0/mldv2_unsolicited_report_interval\n")
}
