//go:build vm

package vm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// laboratory are tests of other packages that run inside the guest: by package, and
// there by name. Each is a subtest, so that it can be run alone:
//
//	make vm-test TESTFLAGS='-run TestInTheLaboratory/KernelTunnel'
var laboratory = []struct{ name, pkg, test string }{
	{"KernelDevice", "../../wireguard", "^Test"},
	{"KernelTunnel", "..", "^TestTunnelOverTheKernelIsSealed$"},
	{"KernelTunnelLife", "..", "^TestTunnelOverTheKernel(EndsAsItsUserSays|Serves)"},
	{"WGQuick", "..", "^TestWGQuickIsSealed"},
	{"WGQuickSplit", "..", "^TestWGQuick(IsSplit|WithoutAMark)"},
	{"Interop", "..", "^TestOwnEngineAndTheKernels"},
}

// labTime bounds one of them: the emulation is some ten times slower, and its machine may be busy.
const labTime = 30 * time.Minute

func TestInTheLaboratory(t *testing.T) {
	dir := t.TempDir()
	programs := map[string]string{}
	files := map[string]string{}
	for _, l := range laboratory {
		if programs[l.pkg] != "" {
			continue
		}
		name := fmt.Sprintf("lab%d.test", len(programs))
		programs[l.pkg] = "/usr/local/lib/" + name
		files[programs[l.pkg]] = filepath.Join(dir, name)
		c := exec.Command("go", "test", "-c", "-trimpath", "-tags", "vm", "-o", filepath.Join(dir, name), l.pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("build the tests of %s: %v\n%s", l.pkg, err, out)
		}
	}
	s := newScene(t, "networkd", files)
	s.machine.Limit = 2 * time.Hour
	s.boot()
	s.must("systemctl stop early && modprobe wireguard")
	for _, l := range laboratory {
		t.Run(l.name, func(t *testing.T) { s.inside(t, programs[l.pkg], l.test) })
	}
	s.guest.Kill()
}

// ran is a test that was run and not passed over.
var ran = regexp.MustCompile(`(?m)^--- PASS: `)

func (s *scene) inside(t *testing.T, program, test string) {
	t.Helper()
	script := fmt.Sprintf("cd / && VPNGUARD_TEST_BINARY=/usr/local/sbin/vpnguard %s -test.v -test.timeout %s -test.run '%s'", program, labTime, test)
	out, status, err := s.guest.Run(labTime, script)
	if err != nil {
		t.Fatal(err, "\n", string(s.guest.consoleTail()))
	}
	skipped := regexp.MustCompile(`(?m)^ *--- SKIP: `).MatchString(out)
	if t.Logf("%s", out); status != 0 || !ran.MatchString(out) || skipped {
		t.Errorf("exit %d", status)
	}
}
