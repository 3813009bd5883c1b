package scenario

import "github.com/vpnguard/vpnguard/audit/evidence"

// names are questions past the tunnel's resolver.
func names() []*scenario {
	return []*scenario{
		tries("dns-lan-resolver", "", "a program asks the LAN's resolver", "out-dns-udp", "dns-udp-lan", "dns-udp-lan-v6"),
		{id: "dns-multihomed", title: "a resolver asks by the wire and by the tunnel", rule: "out-dns-udp", run: func(t *trial) error {
			if err := t.probe("dns-udp-public", probed{silent: true}); err != nil {
				return err
			}
			return t.probes("dns-udp-public-device")
		}},
		tries("dns-encrypted-lan", "", "a program asks the LAN's resolver by DoT, DoH and DoQ", "out-dns-tcp", "dot-tcp-lan", "dot-udp-lan", "dot-tcp-lan-v6", "doh-lan", "doq-lan"),
		tries("dns-tcp53", "", "a program asks the LAN's resolver by TCP", "out-dns-tcp", "dns-tcp-lan", "dns-tcp-lan-v6"),
		tries("dns-name-services", "", "mDNS, LLMNR, NetBIOS, WS-Discovery and SSDP", "out-names", "mdns", "mdns-v6", "llmnr", "llmnr-v6", "wsd", "ssdp", "netbios-ns", "netbios-dgm"),
		{id: "dns-third-party-in-tunnel", title: "a program asks another resolver than the session's", rule: "out-dns-udp", harm: evidence.Exposes, decides: []string{atTunnel}, run: func(t *trial) error {
			return t.probes("dns-udp-public-v6")
		}},
		tries("wpad-proxy", "", "a program looks for a proxy on the LAN", "out-end-tcp", "wpad-http", "wpad-dns"),
		{id: "dns-container-forwarder", title: "a daemon of root passes others' questions on to the LAN's resolver", rule: "out-dns-udp", run: func(t *trial) error {
			return t.probe("dns-udp-lan", probed{root: true, as: "the daemon's question"})
		}},
	}
}
