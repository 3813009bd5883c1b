package tests

import (
	"os"
	"strings"
	"testing"
)

// Whatever step its process is killed at, recover gives everything back, and so
// does the next up with the same name.
func TestNamespaceKilledAtEachStepLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t, "faultpoints")
	if err := s.lab.Client.Script(s.ctx, "ip tuntap add tun9 mode tun\nip link set tun9 addrgenmode none\nip addr add 10.9.0.2/24 dev tun9\nip link set tun9 up\nip route add 10.10.0.0/16 dev tun9\n"); err != nil {
		t.Fatal(err)
	}
	before := s.snapshot()
	up := []string{"netns", "up", "red", "--dev", "tun9", "--dns", "10.9.0.1"}
	for _, point := range []string{"netns.saved", "netns.pin.before", "netns.pin.after", "netns.saved#2", "netns.moved", "netns.saved#3"} {
		_, said, code := s.run([]string{"VPNGUARD_FAULT=kill:" + point}, append([]string{"netns", "up", "--foreground"}, up[2:]...)...)
		if code != -1 {
			t.Errorf("%s: exit %d, want a kill: %s", point, code, said)
			continue
		}
		if n := s.namespaces()["red"]; n.State != "dead" {
			t.Errorf("%s: %+v, want it dead", point, n)
		}
		if _, said := s.must(0, "recover"); !strings.Contains(said, `namespace "red": nobody keeps it; it ended`) {
			t.Errorf("%s: recover says: %s", point, said)
		}
		if point == "netns.moved" || point == "netns.saved#3" { // the others come before the first change of the host's
			s.restored(before)
		}
		if _, err := os.Lstat(s.lab.Client.Path("/run/netns")); !os.IsNotExist(err) {
			t.Errorf("%s: /run/netns is left: %v", point, err)
		}
	}
	// At its end.
	s.must(0, up...)
	if _, _, code := s.run([]string{"VPNGUARD_FAULT=kill:netns.saved"}, "netns", "down", "red"); code != 0 {
		t.Errorf("down with a point that its own process does not pass: exit %d", code)
	}
	s.restored(before)
	// Somebody else's namespace is not touched.
	if err := s.lab.Client.Script(s.ctx, "ip netns add red\n"); err != nil {
		t.Fatal(err)
	}
	if _, said, code := s.vpnguard(up...); code != 2 || !strings.Contains(said, "somebody else's namespace has this name") {
		t.Errorf("up with somebody else's name: exit %d: %s", code, said)
	}
	if out, err := s.lab.Client.Run(s.ctx, "ip", "netns", "list"); err != nil || !strings.Contains(out, "red") {
		t.Errorf("somebody else's namespace: %q, %v", out, err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"netns", "up", "", "--dev", "tun9"}, "the empty name, for a tunnel in the host's own namespace, is not supported"},
		{[]string{"netns", "up", "../x", "--dev", "tun9"}, `name "../x" of a namespace`},
		{[]string{"netns", "up", "x"}, "a namespace has one tunnel, and 0 were given"},
		{[]string{"netns", "up", "x", "--dev", "lo"}, "loopback is no tunnel's device"},
		{[]string{"netns", "up", "x", "--dev", "nosuch"}, `look at device "nosuch"`},
		{[]string{"netns", "up", "x", "--dev", "tun9", "--", "--verb", "3"}, "options behind -- are OpenVPN's"},
		{[]string{"netns", "up", "x", "--dev", "tun9", "--forward", "udp/53"}, "only a single port of TCP can be forwarded"},
		{[]string{"netns", "up", "x", "--openvpn", "/nosuch"}, "/nosuch"},
		{[]string{"netns", "down", "x"}, `no namespace "x" is up`},
	} {
		if _, said, code := s.vpnguard(c.args...); code != 2 || !strings.Contains(said, c.says) {
			t.Errorf("%q: exit %d: %s", c.args, code, said)
		}
	}
	s.restored(before)
}
