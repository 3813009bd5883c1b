//go:build vm

package tests

import (
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// rekeyAfter is when WireGuard's initiator makes a new key of a session that is in
// use, and some seconds (whitepaper, section 6.1).
const rekeyAfter = 135

// Both directions, both roles, beside each other: both wait for their next key.
func TestOwnEngineAndTheKernelsWireGuard(t *testing.T) {
	t.Run("own calls", func(t *testing.T) {
		t.Parallel()
		ownCalls(t)
	})
	t.Run("kernel calls", func(t *testing.T) {
		t.Parallel()
		kernelCalls(t)
	})
}

// ownCalls has the engine, sealed, at the kernel's far end.
func ownCalls(t *testing.T) {
	s := newKernelScene(t)
	s.configureTunnel(allowedSplit)
	before := s.snapshot()
	client, err := s.private.Public()
	if err != nil {
		t.Fatal(err)
	}
	other, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	shared := func(k key.Preshared) {
		t.Helper()
		if err := s.lab.Server.Script(s.ctx, "wg set far0 peer "+client.String()+" preshared-key /dev/stdin <<END\n"+k.Reveal()+"\nEND\n"); err != nil {
			t.Fatal(err)
		}
	}
	shared(other)
	if _, said, code := s.vpnguard("tunnel", "up", s.conf, "--wait", "4s", "--on-failure", "restore"); code != 1 || !strings.Contains(said, "no peer answered within 4s") {
		t.Errorf("with another preshared key: exit %d:\n%s", code, said)
	}
	s.gone(before)
	shared(s.shared)

	s.up()
	s.bothWays()
	// An engine's successor is heard as it was; the next tunnel has another port, and
	// the kernel follows it there.
	if err := syscall.Kill(s.engine(0), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.again("the engine was killed")
	at := s.tell(s.lab.Server, "far0", "endpoints")
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
	s.up()
	s.changes(s.lab.Server, "far0", "endpoints", at)
	s.bothWays()
	// Keepalives, of the engine and of the kernel: each hears the other's.
	s.sets(s.lab.Client, "own0", s.public, "persistent-keepalive", "1")
	s.hears(s.lab.Server, "far0")
	s.sets(s.lab.Client, "own0", s.public, "persistent-keepalive", "off")
	s.sets(s.lab.Server, "far0", client, "persistent-keepalive", "1")
	s.hears(s.lab.Client, "own0")
	s.sets(s.lab.Server, "far0", client, "persistent-keepalive", "off")
	s.rekeys(s.lab.Server, "far0")
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
}

// kernelCalls has the kernel at an engine's far end, with nothing around it.
func kernelCalls(t *testing.T) {
	s := newKeyedScene(t, kernelTime)
	client, err := s.private.Public()
	if err != nil {
		t.Fatal(err)
	}
	s.job(s.lab.Server, "far", s.server.Reveal(), client.String(), s.shared.Reveal(), "0s")
	s.end(s.lab.Client, "own0", s.private, "", s.public, allowedSplit, far.Endpoint().String(), "10.8.0.2/24", "fd00:8::2/64")
	if err := s.lab.Client.Script(s.ctx, "ip route add 8.8.8.0/24 dev own0\nip route add 2001:db8:80::/48 dev own0\n"); err != nil {
		t.Fatal(err)
	}
	s.bothWays()
	// The kernel goes to another port: the engine follows it with the next packet.
	if out, err := s.lab.Client.Run(s.ctx, "wg", "set", "own0", "listen-port", "40001"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.bothWays()
	s.rekeys(s.lab.Client, "own0")
	// A key that is not the peer's: nothing passes, whoever calls.
	other, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.lab.Client.Script(s.ctx, "wg set own0 private-key /dev/stdin <<END\n"+other.Reveal()+"\nEND\n"); err != nil {
		t.Fatal(err)
	}
	if out, err := s.lab.Client.Run(s.ctx, "busybox", "ping", "-q", "-c", "1", "-W", "8", "10.8.0.1"); err == nil {
		t.Errorf("with a key that nobody knows: %s", out)
	}
}

// bothWays passes data from and to either end.
func (s *tunnelScene) bothWays() {
	s.Helper()
	if err := s.lab.TunnelWorks(s.ctx, s.user, site.Server, site.Server6); err != nil {
		s.Error(err)
	}
	const some = 256 << 10 // the emulation is slow, and two of these share it
	if err := s.lab.Transfer(s.ctx, s.user, site.Public, some); err != nil {
		s.Error(err)
	}
	s.pings(s.lab.Server, "10.8.0.2", 2)
	s.pings(s.lab.Client, "10.8.0.1", 2)
}

func (s *tunnelScene) sets(node *lab.Node, dev string, peer key.Public, words ...string) {
	s.Helper()
	if out, err := node.Run(s.ctx, "wg", append([]string{"set", dev, "peer", peer.String()}, words...)...); err != nil {
		s.Errorf("%v: %s", err, out)
	}
}

// hears waits for keepalives: packets of 32 bytes that come alone.
func (s *tunnelScene) hears(node *lab.Node, dev string) {
	s.Helper()
	received := func() int {
		rx, _, _ := strings.Cut(s.tell(node, dev, "transfer"), "\t")
		n, err := strconv.Atoi(rx)
		if err != nil {
			s.Fatal(err)
		}
		return n
	}
	const keepalive, enough = 32, 4
	alone, last := 0, received()
	for end := time.Now().Add(time.Minute); alone < enough; time.Sleep(50 * time.Millisecond) {
		now := received()
		if now-last == keepalive {
			alone++
		}
		if last = now; time.Now().After(end) {
			s.Errorf("%s of %s heard %d keepalives in a minute", dev, node.Name, alone)
			return
		}
	}
}

// rekeys has traffic run until there must be a new key, and loses none of it.
func (s *tunnelScene) rekeys(kernel *lab.Node, dev string) {
	s.Helper()
	before := s.tell(kernel, dev, "latest-handshakes")
	s.pings(s.lab.Client, "10.8.0.1", rekeyAfter)
	if after := s.tell(kernel, dev, "latest-handshakes"); after == before {
		s.Errorf("no new key after %d seconds: the handshake is that of %s", rekeyAfter, before)
	}
}
