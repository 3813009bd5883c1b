package scenario

import (
	"fmt"
	"net/netip"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/dhcp"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// secondWire is another cable between client and gateway, which is captured from
// its first frame on.
func (t *trial) secondWire(name string) error {
	script := fmt.Sprintf("ip link add lan1 address 02:00:00:00:05:01 type veth peer name %s netns %d address 02:00:00:00:05:65\nDEV=lan1\n", name, t.lab.Client.PID()) + quietLink + `
ip link set lan1 up
ip addr add 192.168.2.1/24 brd + dev lan1
`
	if err := t.lab.Gateway.Script(t.ctx, script); err != nil {
		return err
	}
	if err := t.see(atSecond, evidence.Wire, t.lab.Gateway, wire.View{Interface: "lan1", Blocks: small}, evidence.Ethernet); err != nil {
		return err
	}
	w := t.watches[len(t.watches)-1]
	d := t.declared()
	d.MACs, d.Hosts = []string{"02:00:00:00:05:65"}, []netip.Addr{netip.MustParseAddr("192.168.2.101"), netip.MustParseAddr("fe80::ff:fe00:565")}
	d.Neighbours = []netip.Addr{netip.MustParseAddr("192.168.2.1"), netip.MustParseAddr("fe80::ff:fe00:501")}
	w.Declared = d
	t.recorded.canary(evidence.Between)
	return t.lab.Client.Script(t.ctx, "DEV="+name+"\n"+quietLink+fmt.Sprintf(`
ip link set %[1]s up
ip addr add 192.168.2.101/24 brd + dev %[1]s
`, name))
}

// quietLink keeps a new interface from talking by itself.
const quietLink = `
echo 0 > /proc/sys/net/ipv6/conf/$DEV/accept_dad
echo 0 > /proc/sys/net/ipv6/conf/$DEV/router_solicitations
echo 1 > /proc/sys/net/ipv6/conf/$DEV/disable_ipv6
`

// rogue is what a new network's lease says: its router for one address.
func rogue(gateway string) map[byte][]byte {
	return map[byte][]byte{dhcp.OptClassless: dhcp.Classless(map[netip.Prefix]netip.Addr{
		netip.PrefixFrom(site.Public, 32): netip.MustParseAddr(gateway),
	})}
}

func networkSwitch(t *trial) error {
	if err := t.secondWire("eth1"); err != nil {
		return err
	}
	return t.across("", func(h happenings) error {
		h.event("the second network gives a lease")
		own := netip.MustParseAddr("192.168.2.1")
		l := dhcp.Lease{Interface: "lan1", Own: own, Client: netip.MustParsePrefix("192.168.2.101/24"), Options: rogue("192.168.2.1")}
		if err := t.lease(t.lab.Client, "eth1", "lan1", l); err != nil {
			return err
		}
		if err := h.pause(aWhile / 2); err != nil {
			return err
		}
		h.event("the first network goes")
		if err := t.lab.Client.Script(t.ctx, "ip link set eth0 down\n"); err != nil {
			return err
		}
		return h.pause(aWhile)
	})
}

func suspend(t *trial) error {
	return t.across("", func(h happenings) error {
		h.event("the link goes down")
		if err := t.lab.Client.Script(t.ctx, "ip link set eth0 down\nip addr flush dev eth0\nip neigh flush dev eth0\n"); err != nil {
			return err
		}
		if err := h.pause(aWhile / 3); err != nil {
			return err
		}
		h.event("the link comes back")
		if err := t.lab.Client.Script(t.ctx, "ip link set eth0 up\n"); err != nil {
			return err
		}
		l := dhcp.Lease{Interface: "lan0", Own: site.Gateway, Client: netip.PrefixFrom(site.Client, 24), Options: rogue(site.Gateway.String())}
		if err := t.lease(t.lab.Client, "eth0", "lan0", l); err != nil {
			return err
		}
		h.event("there is a lease")
		// The way to the server, as the client's own network manager sets it.
		if err := t.lab.Client.Script(t.ctx, fmt.Sprintf("ip route replace %s via %s dev eth0\nip route replace default via %s dev eth0 metric 100\n", site.Server, site.Gateway, site.Gateway)); err != nil {
			return err
		}
		return h.pause(aWhile)
	})
}
