//go:build vm

package vm

import (
	"regexp"
	"strings"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// shown are the texts that `vpnguard hooks show` has for files of the user's.
func (s *scene) shown(client string) (texts []string) {
	s.Helper()
	out := s.must("vpnguard hooks show "+client) + "\n"
	for _, m := range regexp.MustCompile(`(?m)^# in .*:\n((?:.+\n)+)`).FindAllStringSubmatch(out, -1) {
		texts = append(texts, m[1])
	}
	if len(texts) == 0 {
		s.Fatalf("hooks show %s: %s", client, out)
	}
	return texts
}

// farCharon starts the far end's IKE daemon, for strongSwan and for vpnc.
func (s *scene) farCharon() {
	s.Helper()
	s.put("/far/strongswan.conf", `charon {
	i_dont_care_about_security_and_use_aggressive_mode_psk = yes
	install_virtual_ip = no
	plugins { vici { socket = unix:///run/far.vici } }
}
`)
	s.put("/far/swanctl.conf", `connections {
	ikev2 {
		version = 2
		local_addrs = `+vpnServer+`
		encap = yes
		pools = pool
		local { auth = psk
			id = far }
		remote { auth = psk
			id = guest }
		children { net { local_ts = 0.0.0.0/0 } }
	}
	ikev1 {
		version = 1
		aggressive = yes
		local_addrs = `+vpnServer+`
		encap = yes
		proposals = aes128-sha1-modp1024,3des-sha1-modp1024
		pools = pool
		local { auth = psk
			id = `+vpnServer+` }
		remote-1 { auth = psk
			id = keyid:group }
		remote-2 { auth = xauth }
		children { net { local_ts = 0.0.0.0/0
			esp_proposals = aes128-sha1,3des-sha1 } }
	}
}
pools { pool { addrs = 10.11.0.2-10.11.0.2
	dns = 10.53.0.1 } }
secrets {
	ike-any { secret = "a shared secret" }
	xauth-user { id = user
		secret = password }
}
`)
	s.must("systemctl is-active far-charon || systemd-run --collect --unit=far-charon --setenv=STRONGSWAN_CONF=/far/strongswan.conf -p NetworkNamespacePath=/run/netns/far /usr/sbin/charon-systemd")
	s.eventually("the far end's charon", "swanctl --load-all --file /far/swanctl.conf --uri unix:///run/far.vici 2>&1")
}

func (s *scene) strongSwan() {
	s.farCharon()
	s.put("/etc/strongswan.d/vm.conf", "charon {\n\tinstall_routes = no\n\tinstall_virtual_ip_on = xfrm42\n}\n")
	swanctl := func(encap, child string) string {
		return `connections {
	vm {
		version = 2
		remote_addrs = ` + vpnServer + `
		vips = 0.0.0.0
		` + encap + `
		local { auth = psk
			id = guest }
		remote { auth = psk
			id = far }
		children { net {
			remote_ts = 0.0.0.0/0
			` + child + `
		} }
	}
}
secrets { ike-vm { secret = "a shared secret" } }
`
	}
	s.put("/etc/swanctl/conf.d/vm.conf", swanctl("encap = yes", "if_id_in = 42\nif_id_out = 42\n"))
	lines := s.shown("strongswan")
	s.put("/root/charon.conf", lines[1])
	_, child, _ := strings.Cut(lines[0], "encap = yes\n")
	s.put("/root/swanctl.conf", swanctl("encap = yes", child))
	s.runs(client{
		name: "strongSwan", dev: "xfrm42", inner: "10.11.0.2",
		start: byWire + `ip link add xfrm42 type xfrm dev wire0 if_id 42 && ip link set xfrm42 up && ip route add default dev xfrm42 metric 5
systemctl start strongswan && swanctl --load-all && swanctl --initiate --child net --timeout 30`,
		stop:     "systemctl stop strongswan; ip link del xfrm42; ip route del " + vpnServer,
		hook:     "cp /root/swanctl.conf /etc/swanctl/conf.d/vm.conf; cp /root/charon.conf /etc/strongswan.d/vm.conf",
		carriers: []wire.Carrier{carrier(500, wire.UDP), carrier(4500, wire.UDP)},
		leaks:    append([]string{"server"}, unguarded...),
		named:    true,
	})
}

func (s *scene) vpnc() {
	s.farCharon()
	s.put("/etc/vpnc/vm.conf", `IPSec gateway `+vpnServer+`
IPSec ID group
IPSec secret a shared secret
Xauth username user
Xauth password password
IKE Authmode psk
NAT Traversal Mode force-natt
Interface name tun0
`)
	s.runs(client{
		name: "vpnc", dev: "tun0", inner: "10.11.0.2",
		start: "systemd-run --collect --unit=vpn-vpnc -p KillMode=process vpnc --no-detach /etc/vpnc/vm.conf",
		// vpnc-script puts the default route back as one of its own.
		stop:     "systemctl stop vpn-vpnc; ip route replace default via 192.168.77.1 dev wire0 proto dhcp src 192.168.77.100 metric 1024; ip route del default via 192.168.77.1 dev wire0 proto boot || :",
		hook:     "vpnguard hooks install vpnc",
		carriers: []wire.Carrier{carrier(500, wire.UDP), carrier(4500, wire.UDP)},
		leaks:    append([]string{"server"}, unguarded...),
		named:    true,
	})
	s.must("vpnguard hooks remove vpnc")
}
