//go:build vm

package vm

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// The far end: a namespace of the guest with the guest's second card, which
// has the gateway's addresses. What goes there leaves the machine by the wire
// and comes back by the other cable.
const (
	vpnServer = "203.0.113.5"
	asked     = "203.0.113.80:80"     // tells callers who they are
	inside    = "inside.corp.example" // known to the resolver in the tunnels, 10.53.0.1
	lanName   = "lan.example"         // known to the LAN's, which is the gateway
)

// asksLAN is a name that somebody asks the LAN's resolver for.
var asksLAN = wire.Evidence{Needles: [][]byte{[]byte("\x03lan\x07example")}}

func carrier(port uint16, proto uint8) wire.Carrier {
	return wire.Carrier{Remote: netip.AddrPortFrom(netip.MustParseAddr(vpnServer), port), Proto: proto}
}

// farLimit is for several clients, one after the other, on a busy computer.
const farLimit = 40 * time.Minute

// newFarScene boots a machine that has servers at its far end.
func newFarScene(t *testing.T, manager string) *scene {
	t.Helper()
	s := newScene(t, manager)
	s.machine.Far, s.machine.Limit = true, farLimit
	s.boot()
	s.online()
	s.must(`set -e
ip netns add far
ip link set far0 netns far
ip -n far link set lo up
for a in ` + vpnServer + ` 203.0.113.80 10.53.0.1; do ip -n far addr add $a/32 dev lo; done
ip -n far addr add ` + Gateway4.String() + `/24 dev far0
ip -n far addr add ` + Gateway6.String() + `/64 dev far0 nodad
ip -n far link set far0 up
mkdir -p /far/ppp && touch /far/ppp/options && chmod 700 /far`)
	s.far("answer", "/usr/local/lib/guest answer "+asked)
	names := "dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --no-resolv --no-hosts --bind-interfaces --except-interface=lo --listen-address="
	s.far("lan-names", names+Gateway4.String()+" --address=/"+lanName+"/192.168.77.9")
	s.far("vpn-names", names+"10.53.0.1 --address=/"+inside+"/10.53.0.80")
	s.eventually("the LAN's resolver", "getent hosts "+lanName)
	return s
}

// far runs a program at the far end. What pppd's scripts are for the guest they
// are not for the far end's pppd.
func (s *scene) far(name, command string) {
	s.Helper()
	s.must("systemd-run --collect --unit=far-" + name + " -p NetworkNamespacePath=/run/netns/far -p BindPaths=/far/ppp:/etc/ppp " + command)
}

// put writes a file in the guest.
func (s *scene) put(path, text string) {
	s.Helper()
	s.must(fmt.Sprintf("mkdir -p '%s' && base64 -d > '%s' <<'END' && chmod 600 '%s'\n%s\nEND", filepath.Dir(path), path, path, base64.StdEncoding.EncodeToString([]byte(text))))
}

// farOpenVPN starts the server, once; its client's keys are in /etc/openvpn/client.
func (s *scene) farOpenVPN() {
	s.Helper()
	if _, status, err := s.guest.Run(time.Minute, "systemctl is-active far-openvpn"); err == nil && status == 0 {
		return
	}
	pki, err := openvpn.NewPKI(filepath.Join(s.machine.Dir, "pki"))
	if err != nil {
		s.Fatal(err)
	}
	for name, dir := range map[string]string{"ca.crt": "/etc/openvpn/client/", "client.crt": "/etc/openvpn/client/", "client.key": "/etc/openvpn/client/", "server.crt": "/far/", "server.key": "/far/"} {
		text, err := os.ReadFile(filepath.Join(pki.Dir, name))
		if err != nil {
			s.Fatal(err)
		}
		s.put(dir+name, string(text))
	}
	s.put("/far/openvpn.conf", `dev tun
topology subnet
dh none
proto udp4
local `+vpnServer+`
server 10.8.0.0 255.255.255.0
keepalive 10 300
push "redirect-gateway def1"
push "dhcp-option DNS 10.53.0.1"
push "dhcp-option DOMAIN corp.example"
ca /etc/openvpn/client/ca.crt
cert /far/server.crt
key /far/server.key
data-ciphers AES-256-GCM
`)
	s.far("openvpn", "openvpn /far/openvpn.conf")
}

// ovpn is a configuration of the client with its keys beside it.
const ovpn = "client\ndev tun0\nnobind\nproto udp4\nremote " + vpnServer + " 1194\nremote-cert-tls server\nca ca.crt\ncert client.crt\nkey client.key\ndata-ciphers AES-256-GCM\nverb 3\n"

// farWireGuard makes the server's device, 10.66.0.1, which answers as well, and
// returns a client's configuration.
func (s *scene) farWireGuard(allowed string) (conf string) {
	s.Helper()
	keys := strings.Fields(s.must(`set -e
umask 077
modprobe wireguard
for end in near distant; do wg genkey > /far/$end.key; wg pubkey < /far/$end.key > /far/$end.pub; done
ip -n far link add far-wg type wireguard
ip netns exec far wg set far-wg listen-port 51820 private-key /far/distant.key peer $(cat /far/near.pub) allowed-ips 10.66.0.2/32
ip -n far addr add 10.66.0.1/24 dev far-wg
ip -n far link set far-wg up
cat /far/near.key /far/distant.pub`))
	s.far("wg-answer", "/usr/local/lib/guest answer 10.66.0.1:80")
	return fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.66.0.2/32\n\n[Peer]\nPublicKey = %s\nAllowedIPs = %s\nEndpoint = %s:51820\n", keys[0], keys[1], allowed, vpnServer)
}

// works demands that an unprivileged program reaches the far end with the
// tunnel's address.
func (s *scene) works(inner string) {
	s.Helper()
	s.eventually("a connection by the tunnel", "setpriv --reuid=65534 --regid=65534 --clear-groups /usr/local/lib/guest ask "+asked+" | grep -x '"+inner+"'")
}

// snapshot is what a client or vpnguard could have left behind. A resolv.conf of
// somebody else's is read by systemd-resolved when it is asked.
func (s *scene) snapshot() string {
	s.Helper()
	return s.must(`resolvectl query ` + lanName + ` >/dev/null 2>&1
nft -s list ruleset
ip rule; ip -6 rule
ip route show table all | sed 's/ expires [0-9]*sec//; s/ *$//' | sort
ip -6 route show table all | sed 's/ expires [0-9]*sec//; s/ *$//' | sort
ip -br link | awk '{print $1}'
sysctl -a 2>/dev/null | grep -E '^net\.ipv[46]\.(conf|ip_forward)'
stat -c '%A %U %G %N' /etc/resolv.conf; cat /etc/resolv.conf
for what in dns domain llmnr mdns default-route; do resolvectl $what; done | grep -v 'Current DNS Server'`)
}

// same compares two snapshots.
func (s *scene) same(before, after string) {
	s.Helper()
	if before == after {
		return
	}
	have := map[string]int{}
	for line := range strings.Lines(before) {
		have[line]++
	}
	for line := range strings.Lines(after) {
		have[line]--
	}
	for line, n := range have {
		if n != 0 {
			s.Errorf("%+d %s", -n, line)
		}
	}
	s.Errorf("the host is not as it was before")
}
