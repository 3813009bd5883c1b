package tests

import (
	"os"
	"strings"
	"testing"
)

// A directory that the record cannot be kept in stops `up` before its first
// effect, and `down` before it opens anything.
func TestStateThatCannotBeWrittenChangesNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, spoil, mend string
		code              int
		says              string
	}{
		{"full disk", `dd if=/dev/zero of=/run/vpnguard/fill bs=4k 2>/dev/null || :`, `rm /run/vpnguard/fill`, 1, "no space left on device"},
		{"read-only", `mount -o remount,ro /run/vpnguard`, `mount -o remount,rw /run/vpnguard`, 1, "read-only file system"},
		{"writable by others", `chmod 0777 /run/vpnguard`, `chmod 0755 /run/vpnguard`, 1, "writable by others"},
		{"not root's", `chown 1000 /run/vpnguard`, `chown 0 /run/vpnguard`, 1, "belongs to uid 1000"},
		{"lock is a link", `mv /run/vpnguard/lock /run/vpnguard/l; ln -s /etc/passwd /run/vpnguard/lock`, `mv /run/vpnguard/l /run/vpnguard/lock`, 1, "a symbolic link"},
		{"lock is a pipe", `rm /run/vpnguard/lock; mkfifo /run/vpnguard/lock`, `rm /run/vpnguard/lock`, 1, "not a regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newFaultScene(t)
			s.leaks()
			script := func(text string) {
				t.Helper()
				if err := s.lab.Client.Script(s.ctx, text); err != nil {
					t.Fatal(err)
				}
			}
			// A file system of its own, of one page beside what the record takes.
			script("mkdir -p /run/vpnguard; mount -t tmpfs -o size=64k,mode=755 none /run/vpnguard; touch /run/vpnguard/lock")
			script(c.spoil)
			_, stderr, code := s.vpnguard(upByHand...)
			if code != c.code || !strings.Contains(stderr, c.says) || !strings.Contains(stderr, "nothing was changed") {
				t.Errorf("up exits %d: %s", code, stderr)
			}
			s.original("up refused:")
			script(c.mend)

			s.must(0, upByHand...)
			sealed := s.snapshot()
			script(c.spoil)
			for _, args := range [][]string{{"down"}, {"recover"}, append(upByHand, "--endpoint", "203.0.113.11:1194/udp")} {
				_, stderr, code := s.vpnguard(args...)
				if code != c.code || !strings.Contains(stderr, c.says) ||
					!strings.Contains(stderr, "nothing was changed") && !strings.Contains(stderr, "the host is as it was: closed") {
					t.Errorf("%q exits %d: %s", args, code, stderr)
				}
			}
			if diff := sealed.Diff(s.snapshot()); diff != "" {
				t.Errorf("the sealed host changed:\n%s", diff)
			}
			s.closed("sealed, then " + c.name)
			script(c.mend)
			s.says("mended", "sealed", 0)
			s.must(0, "down")
			s.original("after down")
		})
	}
}

// A link in the directory's place could lead anywhere: nothing is followed.
func TestStateDirectoryThatIsALinkIsRefused(t *testing.T) {
	s := newFaultScene(t)
	if err := s.lab.Client.Script(s.ctx, "rm -rf /run/vpnguard; mkdir /run/elsewhere; ln -s elsewhere /run/vpnguard"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{upByHand, {"down"}, {"recover"}} {
		_, stderr, code := s.vpnguard(args...)
		if code != 1 || !strings.Contains(stderr, `refuse "/run/vpnguard": not a directory; nothing was changed`) {
			t.Errorf("%q exits %d: %s", args, code, stderr)
		}
	}
	if stdout, stderr, code := s.vpnguard("status"); code != 3 || !strings.HasPrefix(stdout, "state     blocked") {
		t.Errorf("status exits %d: %s%s", code, stdout, stderr)
	}
	s.original("after all refusals")
	left, err := os.ReadDir(s.lab.Client.Path("/run/elsewhere"))
	if err != nil || len(left) > 0 {
		t.Errorf("written through the link: %v, %v", left, err)
	}
}
