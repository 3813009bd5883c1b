//go:build vm

package vm

import (
	"testing"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// Each client of a booted Debian with its own kernel, sealed by the wiring that
// `vpnguard hooks` puts in or prints.
func TestClientsAreSealedOnABootedHost(t *testing.T) {
	s := newFarScene(t, "networkd")
	s.part("pppd over ssh", (*scene).pppOverSSH)
	s.part("L2TP", (*scene).l2tp)
	s.part("strongSwan", (*scene).strongSwan)
	s.part("vpnc", (*scene).vpnc)
	s.part("OpenVPN and a split WireGuard", (*scene).both)
	for _, c := range resolvConfs {
		s.part("OpenVPN, resolv.conf "+c.mode, func(s *scene) { s.namesIn(c.mode, c.prepare) })
	}
	s.guest.Kill()
}

// byWire is the route to the server, which pppd and a default route into an
// XFRM interface leave to the administrator.
const byWire = "ip route add " + vpnServer + " via 192.168.77.1 dev wire0\n"

func (s *scene) pppOverSSH() {
	s.must(`set -e
ssh-keygen -q -t ed25519 -N '' -f /root/key
cp /root/key.pub /far/authorized_keys; chmod 600 /far/authorized_keys
mkdir -p /run/sshd`)
	s.put("/far/sshd_config", "ListenAddress "+vpnServer+"\nHostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin yes\nAuthorizedKeysFile /far/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\n")
	s.far("sshd", "/usr/sbin/sshd -D -f /far/sshd_config")
	s.put("/etc/ppp/peers/ssh", `pty "ssh -i /root/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes root@`+vpnServer+` pppd nodetach notty noauth noipv6 ms-dns 10.53.0.1 10.9.0.1:10.9.0.2"
noauth
nodetach
noipv6
noipdefault
usepeerdns
defaultroute
replacedefaultroute
unit 0
ipparam `+vpnServer+`:22/tcp
`)
	s.runs(client{
		name: "pppd over ssh", dev: "ppp0", inner: "10.9.0.2",
		start:    byWire + "systemd-run --collect --unit=vpn-ssh -p KillMode=process pppd call ssh",
		stop:     "ip route del " + vpnServer + "; kill $(head -n 1 /run/ppp0.pid)",
		hook:     "vpnguard hooks install pppd",
		carriers: []wire.Carrier{carrier(22, wire.TCP)},
		leaks:    append([]string{"server"}, unguarded...),
		named:    true,
	})
	s.must("vpnguard hooks remove pppd && ! ls /etc/ppp/*.d/50vpnguard")
}

func (s *scene) l2tp() {
	s.put("/far/xl2tpd.conf", "[global]\nlisten-addr = "+vpnServer+"\nforce userspace = yes\n[lns default]\nip range = 10.10.0.2-10.10.0.9\nlocal ip = 10.10.0.1\nrequire authentication = no\npppoptfile = /far/ppp/l2tp\n")
	s.put("/far/ppp/l2tp", "require-mschap-v2\nrequire-mppe-128\nname far\nms-dns 10.53.0.1\nnoipv6\n")
	s.put("/far/ppp/chap-secrets", "guest far secret *\n")
	s.far("xl2tpd", "xl2tpd -D -c /far/xl2tpd.conf -p /run/far-xl2tpd.pid -C /run/far-xl2tpd")
	s.put("/root/xl2tpd.conf", "[global]\nforce userspace = yes\n[lac vm]\nlns = "+vpnServer+"\nautodial = yes\nredial = yes\nredial timeout = 2\nrequire authentication = no\npppoptfile = /root/l2tp\n")
	s.put("/root/l2tp", "noauth\nnoipv6\nnoipdefault\nusepeerdns\ndefaultroute\nreplacedefaultroute\nunit 0\nname guest\npassword secret\nremotename far\nrequire-mppe-128\nipparam "+vpnServer+":1701/udp\n")
	s.runs(client{
		name: "L2TP", dev: "ppp0", inner: `10\.10\.0\.[2-9]`,
		start:    byWire + "systemd-run --collect --unit=vpn-l2tp -p KillMode=mixed xl2tpd -D -c /root/xl2tpd.conf -p /run/vpn-xl2tpd.pid -C /run/vpn-xl2tpd",
		stop:     "ip route del " + vpnServer + "; systemctl stop vpn-l2tp",
		hook:     "vpnguard hooks install pppd",
		carriers: []wire.Carrier{carrier(1701, wire.UDP)},
		leaks:    append([]string{"server"}, unguarded...),
		named:    true,
	})
	s.must("vpnguard hooks remove pppd")
}

// both are a session for everything and one for a network: what ends leaves the
// other sealed.
func (s *scene) both() {
	s.farOpenVPN()
	s.put("/etc/openvpn/client/vm.conf", ovpn)
	s.put("/etc/wireguard/wg0.conf", s.farWireGuard("10.66.0.0/24"))
	s.must("vpnguard hooks install openvpn /etc/openvpn/client/vm.conf && vpnguard hooks install wg-quick /etc/wireguard/wg0.conf")
	s.must("sysctl -q net.ipv4.conf.all.send_redirects=0") // a WireGuard device that comes up does
	before := s.snapshot()
	defer s.clean("systemctl stop openvpn-client@vm; wg-quick down wg0")
	const reach = "/usr/local/lib/guest ask 10.66.0.1:80 | grep -x 10.66.0.2"
	const stray = "bash -c 'echo vm-stray- > /dev/udp/10.66.0.1/9'" // belongs in the small tunnel
	strayed := wire.Evidence{Needles: [][]byte{[]byte("vm-stray-")}}
	s.must(stray)
	s.seen("control: the network without its tunnel", strayed)

	carriers := []wire.Carrier{carrier(1194, wire.UDP), carrier(51820, wire.UDP)}
	full := client{name: "OpenVPN beside WireGuard", dev: "tun0", inner: "10.8.0.2"}
	s.must("systemctl start openvpn-client@vm && wg-quick up wg0")
	s.sealed(full)
	s.eventually("the network", reach)
	s.mark()
	s.triedMore()
	s.closed("both", carriers...)

	s.must("wg-quick down wg0 2>&1")
	s.mark()
	s.triedMore()
	s.must(stray)
	s.works(full.inner)
	s.closed("OpenVPN alone", carriers[:1]...)
	s.status("sealed", "")

	s.must("wg-quick up wg0 2>&1 && systemctl stop openvpn-client@vm")
	s.gone("tun0")
	s.status("sealed", "")
	s.eventually("the network", reach)
	s.mark()
	s.seen("all else is as it was", ways["udp"])
	s.must("ip link del wg0; " + stray + " || :")
	s.triedMore()
	if leaks := strayed.Find(s.guest.Gateway.Frames()[s.since:]); len(leaks) > 0 {
		s.Errorf("the network without its tunnel: %s", wire.Describe(leaks[0]))
	}
	s.must("vpnguard down --dev wg0 && vpnguard hooks remove openvpn /etc/openvpn/client/vm.conf && vpnguard hooks remove wg-quick /etc/wireguard/wg0.conf")
	s.same(before, s.snapshot())
}
