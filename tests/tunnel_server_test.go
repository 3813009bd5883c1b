package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab/probe"
)

// A server's peers may be anywhere, behind the lock too; and nothing but its port
// is open for them.
func TestTunnelServesPeersThatAreAnywhere(t *testing.T) {
	s := newTunnelScene(t)
	conf := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.8.0.2/24, fd00:8::2/64\nListenPort = 51820\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.8.0.1/32, fd00:8::1/128\n",
		s.private.Reveal(), s.public, s.shared.Reveal())
	s.writeTunnel(conf, 0o600)
	before := s.snapshot()
	if _, said, code := s.vpnguard("tunnel", "up", s.conf, "--profile", "full"); code != 2 || !strings.Contains(said, "give --profile split") {
		t.Errorf("a server with profile full: exit %d:\n%s", code, said)
	}
	ping := func(want bool, wait string) { // a handshake is tried again after 5 s
		t.Helper()
		out, err := s.lab.Gateway.Run(s.ctx, "busybox", "ping", "-q", "-c", "1", "-W", wait, "10.8.0.2")
		if (err == nil) != want {
			t.Errorf("the peer reaches the server %t, want %t: %v: %s", err == nil, want, err, out)
		}
	}
	s.must(0, "lock")
	s.job(s.lab.Gateway, append(s.dial, "192.168.1.101:51820")...)
	ping(false, "1") // the control: nobody serves
	s.up()
	ping(true, "8")
	s.must(0, "status")
	// No program, not even root, sends from there to anywhere.
	policy := s.policyOf()
	policy.Carriers = nil
	for _, x := range s.tries(far, []string{"udp-public", "udp-server", "udp-lan", "bind-device-udp", "dns-udp-lan"}) {
		a, err := s.lab.Try(s.ctx, s.lab.Client, x.uid, probe.Order{Name: x.Name})
		if err != nil || len(a.Seen) > 0 {
			t.Errorf("%s as uid %d beside the server: %d frames, %v", x.Name, x.uid, len(a.Seen), err)
		}
	}
	// Peers come and go without the seal, and get nothing of its else.
	out, err := s.lab.Client.Run(s.ctx, "wg", "set", "own0", "peer", s.public.String(), "allowed-ips", "10.8.0.1/32,fd00:8::1/128,10.8.0.9/32")
	if err != nil {
		t.Errorf("an address inside for a peer: %v: %s", err, out)
	}
	if out, err := s.lab.Client.Run(s.ctx, "wg", "set", "own0", "peer", s.public.String(), "allowed-ips", "8.8.8.0/24"); err == nil {
		t.Errorf("an address outside for a peer: %s", out)
	}
	s.must(0, "tunnel", "down", "own0")
	s.must(0, "unlock")
	s.gone(before)
}
