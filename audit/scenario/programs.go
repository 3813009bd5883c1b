package scenario

import (
	"github.com/vpnguard/vpnguard/audit/evidence"
)

// programs are what local programs try beside a tunnel that stands.
func programs() []*scenario {
	return []*scenario{
		tries("port-fail", "", "a program talks to another port of the VPN server's address", "out-carrier", "udp-server", "tcp-server", "icmp-server"),
		tries("endpoint-marker", "", "a program sends to the server's exact port", "out-carrier", "udp-carrier-port"),
		asRoot("endpoint-shared-uid", "another port", "another program of root talks to the server", "out-carrier", "udp-server", "tcp-server"),
		asRoot("endpoint-shared-uid", "the exact port", "another program of root sends to the server's exact port", "out-carrier", "udp-carrier-port"),
		tries("endpoint-setuid-helper", "", "a helper with root's effective uid sends to the server", "out-carrier", "setuid-helper").among(),
		tries("endpoint-fd-inherit", "", "a socket of root is used after a change of uid", "out-carrier", "inherited-socket").among(),
		tries("endpoint-mark-spoof", "", "a program sets the mark that leads past the tunnel", "out-carrier", "mark-wg-quick", "mark-server"),
		tries("bind-to-device", "", "a program binds its sockets to the wire", "out-end", "bind-device-udp", "bind-device-tcp", "bind-device-icmp", "bind-device-udp-v6", "bind-device-tcp-v6", "bind-device-icmp-v6"),
		tries("pktinfo-unicast-if", "", "a program names the wire for each packet", "out-end", "unicast-if", "unicast-if-v6", "pktinfo", "pktinfo-v6", "multicast-if", "multicast-if-v6"),
		{id: "source-bind", title: "a program binds the LAN address where a routing rule looks at it", rule: "out-end", run: func(t *trial) error {
			if err := t.change("ip route add default via 192.168.1.1 dev eth0 table 7107\nip rule add from 192.168.1.101 lookup 7107 priority 1500\n",
				"ip rule del from 192.168.1.101 lookup 7107 priority 1500\nip route flush table 7107\n"); err != nil {
				return err
			}
			return t.probes("source-udp", "source-tcp")
		}},
		{id: "tunnel-inner-lan-address", title: "a program binds the LAN address and its packets go into the tunnel", rule: "out-source", harm: evidence.Exposes, decides: []string{atTunnel}, unfit: map[string]string{
			"openvpn": "OpenVPN's server drops inner sources that it did not assign, so that there is nothing to see", "openconnect": "the server drops inner sources that it did not assign",
		}, run: func(t *trial) error {
			return t.probes("source-udp")
		}},
		{id: "mptcp-subflow", title: "the kernel joins a connection by the wire", rule: "out-end-tcp", run: func(t *trial) error {
			if err := t.lab.EnableSubflows(t.ctx); err != nil {
				return err
			}
			t.later(func() error { return t.lab.Client.Script(t.ctx, "ip mptcp endpoint flush\n") })
			return t.probes("mptcp-subflow")
		}},
		tries("multihome-apps", "", "a program asks by each interface who it is, as browsers do", "out-end", "stun"),
		tries("af-packet", "", "a packet socket sends whole frames", "fence-end", "packet-ipv4", "packet-ipv6", "packet-vlan"),
		tries("af-packet", "queue bypass", "a packet socket sends past every queue", "fence-end", "packet-ipv4-bypass", "packet-ipv6-bypass", "packet-arp-padding-bypass"),
		tries("raw-fragments", "", "a raw socket sends a datagram in pieces", "out-end", "fragments"),
		tries("raw-fragments", "packet socket", "a packet socket sends a later piece of an IPv6 datagram", "fence-fragment", "packet-fragment-v6"),
		tries("v4-mapped", "", "a socket of IPv6 sends IPv4", "out-end", "bind-device-udp-v4-mapped"),
		tries("transition-tunnels", "", "other tunnels' protocols", "out-end", "bind-device-ipip", "bind-device-sixinfour", "bind-device-gre", "bind-device-esp", "bind-device-l2tp", "teredo"),
		tries("source-routing", "", "source routes and routing headers", "out-end", "source-route", "routing-header-v6", "destination-options-v6"),
		asRoot("nm-connectivity-check", "", "a daemon of root checks connectivity by the wire", "out-end-tcp", "connectivity-check"),
		tries("ntp-cleartext", "", "a program asks the LAN for the time", "out-end", "ntp-lan", "nts-lan"),
		tries("upnp-natpmp", "", "a program opens ports on the router", "out-end", "udp-lan", "ssdp", "ssdp-v6"),
		{id: "v4-mapped", variant: "negative control", title: "an ordinary program talks by the tunnel", innocent: true, run: func(t *trial) error {
			return t.probes("udp-v4-mapped", "tcp-public")
		}},
		{id: "outer-header-copy", title: "inner traffic class and TTL show outside", rule: "the client", run: outerHeader},
	}
}

// chatter makes the kernel go on reporting for seconds: it needs a laboratory of
// its own.
func chatter() []*scenario {
	return []*scenario{
		tries("l2-chatter", "", "LLDP, another EtherType, and group reports", "fence-end", "packet-lldp", "packet-odd-type", "igmp-join", "mld-join"),
	}
}

// outerHeader looks for a traffic class that only the inner packet has.
func outerHeader(t *trial) error {
	if err := t.probe("traffic-class", probed{silent: true}); err != nil {
		return err
	}
	t.recorded.canary(evidence.Between)
	carriers, copied := 0, 0
	for _, f := range t.recorded.frames(atWire) {
		if t.isCarrier(f) {
			carriers++
			if len(f.Data) > 15 && f.Data[12] == 8 && f.Data[15]>>2 == 46 {
				copied++
			}
		}
	}
	if t.phase == evidence.Control && copied == 0 {
		t.excused = "the client writes outer headers of its own: no carrier had the inner traffic class with the guard off"
	}
	t.run.Oracles = append(t.run.Oracles, evidence.Reading{What: "carriers with the inner traffic class", Quiet: 0, Probed: int64(copied), Harm: evidence.Exposes})
	return nil
}
