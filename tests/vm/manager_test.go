//go:build vm

package vm

import (
	"testing"

	"github.com/vpnguard/vpnguard/lab/wire"
)

func TestTheTunnelsOfNetworkManagerAreSealed(t *testing.T) {
	s := newFarScene(t, "NetworkManager")
	s.part("OpenVPN", func(s *scene) {
		s.farOpenVPN()
		s.must(`cp /etc/openvpn/client/* /root && chmod a+r /root/client.key && chmod a+x /root
nmcli connection add type vpn con-name vm vpn-type openvpn vpn.data 'connection-type=tls,remote=` + vpnServer + `:1194:udp,ca=/root/ca.crt,cert=/root/client.crt,key=/root/client.key,cert-pass-flags=4,dev=tun0,data-ciphers=AES-256-GCM,remote-cert-tls=server'`)
		s.put("/etc/vpnguard/vpnguard.toml", "endpoints = [\""+vpnServer+":1194/udp\"]\nowner = [\"root\", \"nm-openvpn\"]\n")
		c := client{
			name: "NetworkManager's OpenVPN", dev: "tun0", inner: "10.8.0.2",
			start:    "nmcli --wait 60 connection up vm",
			stop:     "nmcli --wait 60 connection down vm",
			hook:     "vpnguard hooks install networkmanager",
			carriers: []wire.Carrier{carrier(1194, wire.UDP)},
			leaks:    append([]string{"server"}, unguarded...),
			opens:    true, named: true, drift: drift["NetworkManager"],
		}
		s.runs(c)

		// It has given up root by the time that it reconnects.
		s.must(c.start)
		s.sealed(c)
		s.mark()
		const connects = "journalctl -b -o cat --no-pager | grep -c 'Initialization Sequence Completed'"
		so := s.must(connects)
		s.must("pkill -USR1 -u nm-openvpn openvpn")
		s.eventually("the reconnect", "test $("+connects+") -gt "+so)
		s.works(c.inner)
		s.closed("reconnected", c.carriers...)
		s.must(c.stop)
	})
	s.guest.Kill()
}
