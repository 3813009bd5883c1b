//go:build vm

package vm

import "github.com/vpnguard/vpnguard/lab/wire"

// resolvConfs are the four ways of /etc/resolv.conf beside systemd-resolved, as
// `resolvectl status` names them.
var resolvConfs = []struct{ mode, prepare string }{
	{"stub", "ln -sfT ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf"},
	{"static", "ln -sfT ../usr/lib/systemd/resolv.conf /etc/resolv.conf"},
	{"uplink", "ln -sfT ../run/systemd/resolve/resolv.conf /etc/resolv.conf"},
	{"foreign", "rm /etc/resolv.conf && echo nameserver 192.168.77.1 > /etc/resolv.conf"},
}

// namesIn demands that names are asked inside in one of the modes, and that they
// are the LAN's resolver's before and after.
func (s *scene) namesIn(mode, prepare string) {
	s.farOpenVPN()
	s.put("/etc/openvpn/client/vm.conf", ovpn)
	s.must(prepare)
	s.eventually("the mode "+mode, "resolvectl status; resolvectl status | grep -q 'resolv.conf mode: "+mode+"'")
	const lanKnows = "resolvectl flush-caches; getent hosts " + lanName + " | grep 192.168.77.9 && ! getent hosts " + inside
	s.must(lanKnows)
	s.runs(client{
		name: "OpenVPN, mode " + mode, dev: "tun0", inner: "10.8.0.2",
		start:    "systemctl start openvpn-client@vm",
		stop:     "systemctl stop openvpn-client@vm",
		hook:     "vpnguard hooks install openvpn /etc/openvpn/client/vm.conf",
		carriers: []wire.Carrier{carrier(1194, wire.UDP)},
		leaks:    append([]string{"server"}, unguarded...),
		opens:    true, named: true, asks: true,
	})
	s.must(lanKnows)
}
