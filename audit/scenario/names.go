package scenario

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/forward"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

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
		{id: "dns-unix-socket", title: "a program without a network asks by a daemon's socket, and the daemon asks the LAN", rule: "out-dns-udp", run: func(t *trial) error {
			if err := t.lab.EnableJail(); err != nil {
				return err
			}
			socket := filepath.Join(t.lab.Dir, "daemon.sock")
			if err := t.forwarder(forward.Daemon{Socket: socket}); err != nil {
				return err
			}
			t.later(func() error { return os.Remove(socket) })
			return t.probe("dns-unix-socket", probed{node: t.lab.Guest, root: true, socket: socket})
		}},
	}
}

// forwarder is a daemon of root's in the client that asks the LAN's resolver for
// others, while the scenario runs.
func (t *trial) forwarder(d forward.Daemon) error {
	d.Upstream = netip.AddrPortFrom(site.Gateway, probe.DNSPort)
	arg, err := json.Marshal(d)
	if err != nil {
		return err
	}
	stop, err := t.lab.Task(t.lab.Client, forward.Role, string(arg))
	if err != nil {
		return err
	}
	t.later(func() error { stop(); return nil })
	return nil
}
