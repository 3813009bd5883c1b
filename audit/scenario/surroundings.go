package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/forward"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// noIPv6Yet takes the client's IPv6 default route away: a host that has no IPv6
// until somebody on the LAN gives it one.
func noIPv6Yet(b *bench) error {
	return b.lab.Client.Script(b.ctx, "ip -6 route del ::/0 via 2001:db8:1::1 dev eth0\n")
}

// native brings it back for one scenario.
func (t *trial) native() error {
	return t.change("ip -6 route add ::/0 via 2001:db8:1::1 dev eth0\n", "ip -6 route del ::/0 via 2001:db8:1::1 dev eth0\n")
}

// onlyIPv4 are the ways by IPv6 of a host whose tunnel has none.
func onlyIPv4() []*scenario {
	// An ordinary host's address that the router's advertisement makes of the
	// link's address.
	made := netip.MustParseAddr("2001:db8:1::ff:fe00:165")
	const forget = "ip -6 route flush proto ra 2>/dev/null || :\nip -6 addr del 2001:db8:1::ff:fe00:165/64 dev eth0 2>/dev/null || :\n"
	advertised := func(t *trial, name string) error {
		t.later(func() error { return t.lab.Client.Script(t.ctx, forget) })
		if err := t.forge(name, nil, evidence.Signs{}, site.GatewayLinkLocal.AsSlice()); err != nil {
			return err
		}
		time.Sleep(30 * time.Millisecond) // the kernel's work, in a softirq
		return nil
	}
	return []*scenario{
		{id: "ipv6-native", title: "the host has IPv6 and the tunnel has not", rule: "out-end", run: func(t *trial) error {
			if err := t.native(); err != nil {
				return err
			}
			return t.probes("udp-public-v6", "tcp-public-v6", "icmp-public-v6")
		}},
		{id: "ra-rogue-default", title: "a router advertisement gives the host a way by IPv6", rule: "out-end", run: func(t *trial) error {
			if err := advertised(t, "ra-default"); err != nil {
				return err
			}
			return t.probes("udp-public-v6", "tcp-public-v6")
		}},
		{id: "ra-rio", title: "a route information option gives the host a way to one prefix", rule: "out-end", run: func(t *trial) error {
			if err := t.change("echo 64 > /proc/sys/net/ipv6/conf/eth0/accept_ra_rt_info_max_plen\n", "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra_rt_info_max_plen\n"); err != nil {
				return err
			}
			if err := advertised(t, "ra-route"); err != nil {
				return err
			}
			return t.probes("udp-public-v6")
		}},
		{id: "ipv6-reenable", title: "IPv6 that was switched off is switched on again", rule: "out-end", run: func(t *trial) error {
			const key = "/proc/sys/net/ipv6/conf/eth0/disable_ipv6"
			// What a network manager does after it: the address and the route again.
			const again = "ip addr replace 2001:db8:1::101/64 dev eth0 nodad\n"
			if err := t.change("echo 1 > "+key+"\necho 0 > "+key+"\n"+again, ""); err != nil {
				return err
			}
			if err := t.native(); err != nil {
				return err
			}
			return t.probes("udp-public-v6")
		}},
		{id: "ipv6-eui64", title: "an address that is made of the link's address is used", rule: "out-end", run: func(t *trial) error {
			const add = "ip addr add 2001:db8:1::ff:fe00:165/64 dev eth0 nodad\n"
			if err := t.change(add, "ip addr del 2001:db8:1::ff:fe00:165/64 dev eth0\n"); err != nil {
				return err
			}
			if err := t.native(); err != nil {
				return err
			}
			return t.probe("source-udp-v6", probed{mentions: []netip.Addr{made}})
		}},
	}
}

// byIPv6 is the seal of a server that is reached by IPv6.
func byIPv6() []*scenario {
	return []*scenario{
		tries("endpoint-v6-unsealed", "", "a program talks to the server's IPv6 address", "out-carrier", "udp-server-v6", "tcp-server-v6", "icmp-server-v6", "udp-carrier-port"),
	}
}

// forgedServer is whom the LAN's resolver names for every name.
var forgedServer = netip.AddrPortFrom(probe.DNSAnswer, ownPort)

// forgeServer leads the forged address's tunnel port to the real server.
func forgeServer(b *bench) error {
	return b.lab.Gateway.Script(b.ctx, fmt.Sprintf(`nft -f - <<END
table ip forged {
	chain nat {
		type nat hook prerouting priority dstnat
		iifname "lan0" ip daddr %s udp dport %d dnat to %s
	}
}
END
`, forgedServer.Addr(), forgedServer.Port(), site.Server))
}

func forged() []*scenario {
	return []*scenario{
		{id: "serverip-dns-spoof", title: "the LAN names an internet address as the VPN server's", rule: "out-carrier", unfit: map[string]string{
			"openconnect": "the client checks the server's name by its certificate, and refuses",
		}, run: func(t *trial) error {
			return t.probes("connectivity-plain", "web-udp")
		}},
		{id: "dns-endpoint-lookup", title: "the client restarts, and the server's name is asked for again", rule: "out-dns-udp", unfit: map[string]string{
			"openvpn": "OpenVPN asks at each reconnect, and behind a seal nobody answers: a name belongs in /etc/hosts, where nobody is asked", "openconnect": "this client asks once", "wireguard": "this client asks once, when it is started", "command": "the laboratory does not know how to restart this client",
		}, run: func(t *trial) error {
			s := evidence.Stimulus{Name: "restart", Node: t.lab.Client.Name, Program: "the client", Nonce: probe.NewNonce(), Planned: 1, Started: time.Now()}
			s.Signs.Needles = [][]byte{[]byte("\x03vpn\x07example")}
			err := t.client.restart(t.bench)
			s.Ended = time.Now()
			send := evidence.Send{What: "a restart"}
			if err != nil {
				send.Error = err.Error()
			}
			s.Sends = []evidence.Send{send}
			s.Witness = []evidence.Section{{Title: "the client", Text: "it was told to restart"}}
			t.run.Stimuli = append(t.run.Stimuli, s)
			t.shows(s.Signs)
			return errors.Join(err, t.carries(10*time.Second))
		}},
	}
}

// earlyAccept is a firewall that lets all out, before the guard comes.
func earlyAccept(b *bench) error {
	return b.lab.Client.Script(b.ctx, `nft -f - <<END
table inet desktop {
	chain out {
		type filter hook output priority -10; policy accept
		ct state established,related accept
		oifname "eth0" accept
	}
	chain in {
		type filter hook input priority -10; policy accept
		accept
	}
}
END
`)
}

func shadowed() []*scenario {
	return []*scenario{
		tries("accept-shadowing", "", "another firewall accepts everything first", "out-end", "udp-server", "bind-device-udp", "bind-device-tcp", "dns-udp-lan"),
	}
}

// routedGuest hangs a container on the client.
func routedGuest(b *bench) error {
	if err := b.lab.EnableGuest(b.ctx); err != nil {
		return err
	}
	return b.see(atGuest, evidence.Source, b.lab.Guest, wire.View{Interface: "eth0", Direction: wire.Sent, Blocks: small}, evidence.Ethernet)
}

func guests() []*scenario {
	return []*scenario{
		guestTries("forward-container", "beside the tunnel", "a guest talks to the server's address", "fwd-end", "udp-server", "tcp-server", "icmp-server", "udp-carrier-port"),
		guestTries("forward-container", "the LAN's resolver", "a guest asks the LAN's resolver", "fwd-end", "dns-udp-lan", "dns-tcp-lan"),
		{id: "dns-container-forwarder", title: "a guest asks the host's daemon, and that asks the LAN", rule: "out-dns-udp", run: func(t *trial) error {
			if err := t.forwarder(forward.Daemon{Listen: netip.AddrPortFrom(probe.GuestsHost, probe.DNSPort)}); err != nil {
				return err
			}
			return t.probe("dns-guests-host", probed{node: t.lab.Guest})
		}},
	}
}

// guestTries runs probes in the guest.
func guestTries(id, variant, title, rule string, names ...string) *scenario {
	return &scenario{id: id, variant: variant, title: title, rule: rule, run: func(t *trial) error {
		for _, n := range names {
			if err := t.probe(n, probed{node: t.lab.Guest, dev: t.guestLink()}); err != nil {
				return err
			}
		}
		return nil
	}}
}

// guestLink is the guest's interface.
func (b *bench) guestLink() string {
	if g := b.group.resident; g != nil {
		return g.link
	}
	return "eth0"
}

// The guests that have addresses of their own on the LAN.
var (
	macvlanResident = &resident{site.MacvlanMAC, []netip.Addr{site.Macvlan, netip.MustParseAddr("2001:db8:1::102"), netip.MustParseAddr("fe80::ff:fe00:166")}, "mv0"}
	bridgedResident = &resident{"02:00:00:00:04:02", []netip.Addr{netip.MustParseAddr("192.168.1.103")}, "eth0"}
)

// macvlanGuest gives a guest a child of the wire.
func macvlanGuest(b *bench) error {
	if err := b.lab.EnableMacvlan(b.ctx); err != nil {
		return err
	}
	return b.see(atGuest, evidence.Source, b.lab.Guest, wire.View{Interface: "mv0", Direction: wire.Sent, Blocks: small}, evidence.Ethernet)
}

func macvlans() []*scenario {
	return []*scenario{
		guestTries("macvlan-ipvlan", "", "a child interface of the wire sends by itself", "fence-end", "bind-device-udp", "bind-device-tcp", "bind-device-udp-v6", "packet-ipv4"),
	}
}

// bridgedGuest makes the wire a port of a bridge, and the guest's cable another.
// The host keeps its addresses and its routes on the wire's name by renaming: the
// client under audit knows eth0, which is then the bridge.
func bridgedGuest(b *bench) error {
	script := "ip addr flush dev eth0\nip link set eth0 down\nip link set eth0 name port0\nip link add eth0 address 02:00:00:00:01:65 type bridge\nDEV=eth0\n" + quietBridge + `
# With br_netfilter the host's own chains would see what the bridge passes on.
for k in /proc/sys/net/bridge/bridge-nf-call-iptables /proc/sys/net/bridge/bridge-nf-call-ip6tables; do
	[ ! -e $k ] || echo 0 > $k
done
ip -batch - <<END
link set port0 master eth0
link set port0 up
link set eth0 up
addr add 192.168.1.101/24 brd + dev eth0
addr add 2001:db8:1::101/64 dev eth0 nodad
route add default via 192.168.1.1 dev eth0
route add ::/0 via 2001:db8:1::1 dev eth0
END
`
	b.lab.Capture().Renamed("port0")
	if err := b.lab.Client.Script(b.ctx, script); err != nil {
		return err
	}
	if err := b.lab.EnableBridged(b.ctx, "eth0"); err != nil {
		return err
	}
	return b.see(atGuest, evidence.Source, b.lab.Guest, wire.View{Interface: "eth0", Direction: wire.Sent, Blocks: small}, evidence.Ethernet)
}

// quietBridge is quietLink for a link that keeps IPv6, without a link-local
// address of the port's.
const quietBridge = `
echo 0 > /proc/sys/net/ipv6/conf/$DEV/accept_dad
echo 0 > /proc/sys/net/ipv6/conf/$DEV/router_solicitations
echo 1 > /proc/sys/net/ipv6/conf/$DEV/mldv2_unsolicited_report_interval
echo 0 > /sys/class/net/$DEV/bridge/multicast_snooping 2>/dev/null || :
`

func bridged() []*scenario {
	return []*scenario{
		guestTries("bridged-uplink", "", "a guest on the wire's bridge sends by itself", "fence-end", "bind-device-udp", "bind-device-tcp", "packet-ipv4"),
	}
}
