//go:build vm

package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// kernelTime bounds a test against the kernel's WireGuard: it runs in an emulated
// machine, and WireGuard itself takes two minutes to its next key.
const kernelTime = 25 * time.Minute

// newKernelScene is a tunnel scene whose far end is the kernel's WireGuard.
func newKernelScene(t testing.TB) *tunnelScene {
	t.Helper()
	s := newKeyedScene(t, kernelTime)
	client, err := s.private.Public()
	if err != nil {
		t.Fatal(err)
	}
	s.end(s.lab.Server, "far0", s.server, fmt.Sprintf("ListenPort = %d", far.Endpoint().Port()), client, "10.8.0.2/32, fd00:8::2/128", "", "10.8.0.1/24", "fd00:8::1/64")
	return s
}

// end makes one end of a tunnel in the kernel of a node, with nothing around it.
func (s *tunnelScene) end(node *lab.Node, dev string, private key.Private, port string, peer key.Public, allowed, at string, addresses ...string) {
	s.Helper()
	if at != "" {
		at = "Endpoint = " + at + "\n"
	}
	script := fmt.Sprintf("ip link add %s type wireguard\nwg setconf %s /dev/stdin <<END\n[Interface]\nPrivateKey = %s\n%s\n[Peer]\nPublicKey = %s\nPresharedKey = %s\nAllowedIPs = %s\n%sEND\n",
		dev, dev, private.Reveal(), port, peer, s.shared.Reveal(), allowed, at)
	for _, a := range addresses {
		script += fmt.Sprintf("ip addr add %s dev %s nodad\n", a, dev)
	}
	if err := node.Script(s.ctx, script+"ip link set "+dev+" mtu 1420 up\n"); err != nil {
		s.Fatal(err)
	}
}

// tell is one line of what `wg show DEVICE WHAT` says, without the peer's key.
func (s *tunnelScene) tell(node *lab.Node, dev, what string) string {
	s.Helper()
	out, err := node.Run(s.ctx, "wg", "show", dev, what)
	if err != nil {
		s.Fatal(err)
	}
	_, rest, _ := strings.Cut(strings.TrimSpace(out), "\t")
	return rest
}

// changes waits until the device tells something else than it did.
func (s *tunnelScene) changes(node *lab.Node, dev, what, from string) {
	s.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if s.tell(node, dev, what) != from {
			return
		}
	}
	s.Errorf("%s of %s is still %q", what, dev, from)
}

// pings demands that every echo comes back.
func (s *tunnelScene) pings(node *lab.Node, to string, count int) {
	s.Helper()
	out, err := node.Run(s.ctx, "busybox", "ping", "-q", "-c", fmt.Sprint(count), "-W", "20", to)
	if err != nil || !strings.Contains(out, fmt.Sprintf("%d packets transmitted, %d packets received", count, count)) {
		s.Errorf("ping from %s to %s: %v: %s", node.Name, to, err, out)
	}
}
