package dns

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab"
)

// capabilities that the units may name and that matter for files.
var capabilities = map[string]uint32{
	"CAP_CHOWN": unix.CAP_CHOWN, "CAP_DAC_OVERRIDE": unix.CAP_DAC_OVERRIDE, "CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "CAP_FOWNER": unix.CAP_FOWNER,
	"CAP_FSETID": unix.CAP_FSETID, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE, "CAP_KILL": unix.CAP_KILL,
	"CAP_SETUID": unix.CAP_SETUID, "CAP_SETGID": unix.CAP_SETGID, "CAP_SETPCAP": unix.CAP_SETPCAP,
}

// What sets resolvers runs in units with few capabilities: they suffice for a file
// that is another user's, and the one for that is needed.
func TestUnitsMaySetAndGiveBackAFileOfAnotherUser(t *testing.T) {
	if lab.SingleUID() {
		t.Log("not tested: only root exists in this laboratory")
		return
	}
	for _, unit := range []string{"vpnguard", "vpnguard-tunnel@"} {
		text, err := os.ReadFile("../dist/systemd/" + unit + ".service")
		must(t, err)
		_, rest, ok := strings.Cut(string(text), "\nCapabilityBoundingSet=")
		line, _, _ := strings.Cut(rest, "\n")
		if !ok {
			t.Fatalf("unit %s bounds no capabilities", unit)
		}
		for _, without := range []string{"", "CAP_CHOWN"} {
			s := etc(t, func(p string) error {
				return errors.Join(os.WriteFile(p, []byte("nameserver 192.168.1.1\n"), 0o600), os.Chmod(p, 0o604), os.Chown(p, 1000, 8))
			})
			before := describe(t, s)
			done := make(chan error)
			go func() {
				runtime.LockOSThread() // and never unlocked: the thread ends with its capabilities
				var bits [2]unix.CapUserData
				for _, name := range strings.Fields(line) {
					c, known := capabilities[name]
					if !known {
						t.Errorf("unit %s has %s, which this test does not know", unit, name)
					}
					if name != without {
						bits[c/32].Effective |= 1 << (c % 32)
						bits[c/32].Permitted |= 1 << (c % 32)
					}
				}
				err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &bits[0])
				if err == nil {
					err = setAndGiveBack(s)
				}
				done <- err
			}()
			err := <-done
			if (err != nil) != (without != "") {
				t.Errorf("unit %s without %q: %v", unit, without, err)
			}
			if after := describe(t, s); after != before {
				t.Errorf("unit %s without %q: given back\n%s\nbefore\n%s", unit, without, after, before)
			}
		}
	}
}

func setAndGiveBack(s System) error {
	saved, err := s.Prepare(File, nil, wish)
	if err != nil {
		return err
	}
	if saved, err = s.Apply(saved); err != nil {
		return err
	}
	warnings, err := s.Restore(saved)
	if err == nil && len(warnings) > 0 {
		err = errors.New(warnings[0])
	}
	return err
}
