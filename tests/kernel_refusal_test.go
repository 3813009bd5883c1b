package tests

import (
	"strings"
	"testing"
)

// wireGuard tells whether the client's kernel has WireGuard, without the program
// under test.
func (s *scene) wireGuard() bool {
	s.Helper()
	out, err := s.lab.Client.Run(s.ctx, "ip", "link", "add", "proof", "type", "wireguard")
	if err != nil {
		s.Logf("the kernel has no WireGuard: %s", strings.TrimSpace(out))
		return false
	}
	if out, err := s.lab.Client.Run(s.ctx, "ip", "link", "del", "proof"); err != nil {
		s.Fatalf("%v: %s", err, out)
	}
	return true
}

// What the kernel lacks, and what it cannot do, is said before anything is changed.
func TestTunnelOverTheKernelIsRefusedWhereItCannotBe(t *testing.T) {
	s := newTunnelScene(t)
	s.configureTunnel(allowedSplit)
	has := s.wireGuard()
	before := s.snapshot()
	refused := func(want int, says []string, args ...string) {
		t.Helper()
		_, said, code := s.vpnguard(append([]string{"tunnel", "up", s.conf}, args...)...)
		for _, what := range append(says, "nothing was changed") {
			if code != want || !strings.Contains(said, what) {
				t.Errorf("%q: exit %d, want %d and %q:\n%s", args, code, want, what, said)
			}
		}
		s.gone(before)
	}
	refused(2, []string{"--owner with --backend kernel"}, "--backend", "kernel", "--owner", "0")
	if _, said, code := s.vpnguard("tunnel", "up", s.conf, "--backend", "hardware"); code != 2 || !strings.Contains(said, "--backend") {
		t.Errorf("a backend that there is not: exit %d:\n%s", code, said)
	}
	if !has {
		refused(5, []string{`bring tunnel "own0" up`, "this kernel has no WireGuard", "modprobe wireguard"}, "--backend", "kernel")
		return
	}
	s.must(0, "tunnel", "up", s.conf, "--backend", "kernel")
	s.splitWorks(far)
	s.must(0, "tunnel", "down", "own0")
	s.gone(before)
}
