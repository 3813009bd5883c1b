//go:build vm

package vm

import (
	"fmt"
	"testing"
	"time"
)

// wgServer is a WireGuard server in a namespace of the guest: its gateway forwards
// nothing. The link to it is another wire, so that the carrier is not on the one
// that is watched.
const wgServer = `set -e
umask 077
for who in client server; do wg genkey > /root/$who.key; wg pubkey < /root/$who.key > /root/$who.pub; done
modprobe wireguard
ip netns add server
ip link add srv0 type veth peer name eth0 netns server
nmcli device set srv0 managed no
ip addr add 10.99.0.1/24 dev srv0
ip link set srv0 up
ip -n server addr add 10.99.0.2/24 dev eth0
ip -n server link set eth0 up
ip -n server link add wg0 type wireguard
ip netns exec server wg set wg0 listen-port 51820 private-key /root/server.key peer "$(cat /root/client.pub)" allowed-ips 10.9.0.2/32,fd09::2/128
ip -n server addr add 10.9.0.1/24 dev wg0
ip -n server link set wg0 up`

// wgProfile is a profile of the NetworkManager with all traffic, or with the
// allowed IPs that are told.
func wgProfile(allowed, more string) string {
	return fmt.Sprintf(`set -e
umask 077
cat > /etc/NetworkManager/system-connections/wg0.nmconnection <<END
[connection]
id=wg0
type=wireguard
interface-name=wg0
autoconnect=false
[wireguard]
private-key=$(cat /root/client.key)
%s
[wireguard-peer.$(cat /root/server.pub)]
endpoint=10.99.0.2:51820
allowed-ips=%s
persistent-keepalive=1
[ipv4]
method=manual
address1=10.9.0.2/24
[ipv6]
method=manual
address1=fd09::2/64
END
nmcli connection reload`, more, allowed)
}

const (
	activate   = "nmcli --wait 180 connection up wg0"
	deactivate = "nmcli --wait 180 connection down wg0"
)

// The NetworkManager's own WireGuard, with the scripts that `hooks install` puts in
// place: closed from its activation to its end, on a whole booted host. The control
// is the same tunnel without them.
func TestNetworkManagersWireGuardIsSealed(t *testing.T) {
	s := newScene(t, "NetworkManager")
	s.machine.Limit = time.Hour
	s.boot()
	s.online()
	s.must("systemctl stop early")
	s.mustWithin(patience, wgServer)
	s.must("systemctl start stream")
	s.must(wgProfile("0.0.0.0/0;::/0;", ""))
	through := func() {
		t.Helper()
		s.eventually("the tunnel's way to its server", "busybox ping -q -c 1 -W 5 10.9.0.1")
	}
	s.mustWithin(patience, activate)
	through()
	s.mark()
	s.seen("stream past a tunnel without hooks", stream)
	s.mustWithin(patience, deactivate)

	s.must("vpnguard hooks install networkmanager")
	s.mustWithin(patience, activate)
	s.eventually("sealing", "vpnguard status; vpnguard status | grep -q '^state  *sealed'")
	s.mark()
	before := s.tries("stream")
	through()
	time.Sleep(2 * time.Second)
	s.closed("sealed")
	if n := s.tries("stream") - before; n <= 0 {
		t.Errorf("the stream tried %d times meanwhile", n)
	}
	s.Logf("status:\n%s", s.must("vpnguard status; vpnguard status --json | tr -d ' \\n' | grep -F '\"endpoints\":[\"10.99.0.2:51820/udp\"]' | grep -F '\"profile\":\"full\"'"))
	// The mark is the one that NetworkManager gave the device.
	s.must(`vpnguard status --json | tr -d ' \n' | grep -F "\"mark\":\"$(wg show wg0 fwmark)/0xffffffff\""`)
	s.mustWithin(patience, deactivate)
	s.eventually("opening", "vpnguard status; vpnguard status | grep -q '^state  *open'")
	s.mark()
	s.seen("stream after the tunnel", stream)

	// Without everything there is no mark by itself: refused, and said in the log.
	s.must(wgProfile("10.9.0.0/24;", ""))
	s.mustWithin(patience, activate)
	s.eventually("the refusal", "journalctl -b -o cat --no-pager -u NetworkManager-dispatcher | grep -F 'wireguard.fwmark in NetworkManager'")
	s.mustWithin(patience, "vpnguard status | grep '^state  *open' && "+deactivate)
	s.must(wgProfile("10.9.0.0/24;", "fwmark=51820"))
	s.mustWithin(patience, activate)
	s.eventually("sealing", "vpnguard status; vpnguard status | grep -q '^state  *sealed'")
	s.must(`vpnguard status --json | tr -d ' \n' | grep -F '"profile":"split"'`)
	through()
	s.mark()
	s.seen("stream beside a split tunnel", stream)
	s.mustWithin(patience, deactivate)
	s.guest.Kill()
}
