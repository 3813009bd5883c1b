package tests

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Two peers of a server reach the internet with the server's address, and only
// with --masquerade; whatever ends the tunnel, the host is as it was.
func TestMasqueradeLetsPeersOutWithTheServersAddress(t *testing.T) {
	s := newTunnelScene(t)
	conf := fmt.Sprintf("[Interface]\nPrivateKey = %s\nAddress = 10.8.0.2/24\nListenPort = 51820\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = 10.8.0.1/32\n",
		s.private.Reveal(), s.public, s.shared.Reveal())
	s.writeTunnel(conf, 0o600)
	// The gateway is the place of the peers; it must not know the way itself.
	if err := s.lab.Gateway.Script(s.ctx, "nft add table ip seen\nnft 'add chain ip seen c { type filter hook prerouting priority -300; }'\n"+
		"nft add rule ip seen c iifname lan0 ip saddr 192.168.1.101 icmp type echo-request counter\n"+
		"nft add rule ip seen c iifname lan0 ip saddr 10.8.0.0/24 counter\n"); err != nil {
		t.Fatal(err)
	}
	server, err := s.private.Public()
	if err != nil {
		t.Fatal(err)
	}
	if _, said, code := s.vpnguard("tunnel", "up", s.conf, "--masquerade", "--profile", "full"); code != 2 {
		t.Errorf("a full server with --masquerade: exit %d:\n%s", code, said)
	}
	before := s.snapshot()
	begins := func(dev, private, address, shared string) {
		t.Helper()
		s.job(s.lab.Gateway, "far", private, server.String(), shared, "0s", "192.168.1.101:51820", dev, address, "0.0.0.0/0")
	}
	reaches := func(dev string, want bool, when string) {
		t.Helper()
		wait := "8"
		if !want {
			wait = "1"
		}
		out, err := s.lab.Gateway.Run(s.ctx, "busybox", "ping", "-q", "-c", "1", "-W", wait, "-I", dev, site.Public.String())
		if (err == nil) != want {
			t.Errorf("the peer at %s reaches the internet %t, want %t, %s: %v: %s", dev, err == nil, want, when, err, out)
		}
	}
	pair := func() (string, key.Public) {
		k, err := key.NewPrivate(nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := k.Public()
		if err != nil {
			t.Fatal(err)
		}
		return k.Reveal(), p
	}
	one, onePublic := pair()
	two, twoPublic := pair()
	none := key.Preshared{}.Reveal()
	add := func() {
		t.Helper()
		for address, p := range map[string]key.Public{"10.8.0.7/32": onePublic, "10.8.0.8/32": twoPublic} {
			if out, err := s.lab.Client.Run(s.ctx, "wg", "set", "own0", "peer", p.String(), "allowed-ips", address); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	s.up() // the control: the same server without it
	add()
	begins("far1", one, "10.8.0.7/32", none)
	reaches("far1", false, "without --masquerade")
	s.carelessly(func() { s.shadowed("far1", 40000, true) })
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)

	s.up("--masquerade")
	add()
	begins("far2", one, "10.8.0.7/32", none)
	begins("far3", two, "10.8.0.8/32", none)
	reaches("far2", true, "with it")
	reaches("far3", true, "with it")
	s.shadowed("far2", 40001, false)
	seen, err := s.lab.Gateway.Run(s.ctx, "nft", "list", "table", "ip", "seen")
	lines := strings.Split(seen, "\n")
	if err != nil || !strings.Contains(seen, "echo-request counter packets 2 ") || !strings.Contains(seen, "10.8.0.0/24 counter packets 0 ") {
		t.Errorf("by the wire: %v:\n%s", err, strings.Join(lines, "\n"))
	}
	if out, err := s.lab.Client.Run(s.ctx, "nft", "list", "table", "inet", "vpnguard_nat"); err != nil || !strings.Contains(out, "port-shadow") {
		t.Errorf("no rule against port shadows: %v:\n%s", err, out)
	}
	if out, _, _ := s.vpnguard("doctor"); strings.Contains(out, "vpnguard_nat") {
		t.Errorf("doctor takes the own table for somebody else's:\n%s", out)
	}
	if out, _ := s.must(0, "status"); !strings.Contains(out, "peers of own0 go out by the wires") {
		t.Errorf("status:\n%s", out)
	}
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)

	s.up("--masquerade")
	if err := syscall.Kill(s.supervisor(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.vanishes()
	s.must(0, "recover")
	s.gone(before)
}
