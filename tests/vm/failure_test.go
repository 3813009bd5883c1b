//go:build vm

package vm

import (
	"regexp"
	"testing"
)

// A failure is a lock that does not work as it should at the next boot.
type failure struct {
	name    string
	prepare string // on a locked machine with the unit as it should be
	failed  bool   // the unit must say so
	closed  bool   // the wire must show nothing from power-on on
	console string // what the machine's screen must say, as a regular expression: systemd shortens names
	check   string
	restore string
}

// unit is where the lock's unit is in a guest.
const unit = "/etc/systemd/system/vpnguard-lock.service"

var failures = []failure{
	{
		// The control of the order: a lock that comes too late is seen.
		name:    "unit ordered too late",
		prepare: "cp " + unit + " /root && sed -i 's/^Before=.*/After=network-online.target multi-user.target/; s/^WantedBy=.*/WantedBy=graphical.target/' " + unit + " && mv /etc/udev/rules.d/99-vpnguard.rules /root && systemctl daemon-reload && systemctl reenable vpnguard-lock",
		check:   "vpnguard status",
		restore: "cp /root/vpnguard-lock.service " + unit + " && mv /root/99-vpnguard.rules /etc/udev/rules.d && systemctl daemon-reload && systemctl reenable vpnguard-lock",
	},
	{
		name:    "kept lock cut short",
		prepare: "truncate -s 20 /var/lib/vpnguard/state.json",
		failed:  true, closed: true, console: `the host is locked, without any endpoint`,
		check:   "vpnguard status | grep -x 'state *locked.*'",
		restore: "vpnguard unlock && vpnguard lock",
	},
	{
		name:    "kept lock empty",
		prepare: "truncate -s 0 /var/lib/vpnguard/state.json",
		failed:  true, closed: true, console: `the host is locked, without any endpoint`,
		check:   "vpnguard status | grep -x 'state *locked.*'",
		restore: "vpnguard unlock && vpnguard lock",
	},
	{
		// The host comes up open, and says so.
		name:    "program that does not run",
		prepare: "cp /usr/local/sbin/vpnguard /root && truncate -s 100 /usr/local/sbin/vpnguard",
		failed:  true, console: `Failed to start .*Close the host|Failed to start .*host as it was locked`,
		check:   "test \"$(systemctl is-system-running)\" = degraded",
		restore: "cp /root/vpnguard /usr/local/sbin/vpnguard && vpnguard lock",
	},
}

func TestALockThatFailsIsSeen(t *testing.T) {
	s := newScene(t, "networkd")
	s.open("networkd")
	s.boot()
	s.online()
	s.locked("")
	s.closed("boot")
	s.unfenced()
	for _, f := range failures {
		s.must(f.prepare)
		s.off("sync; systemctl reboot")
		s.closed("before: " + f.name)
		s.boot()
		s.online()
		s.tried("early")
		if failed := s.must("systemctl is-failed vpnguard-lock || true") == "failed"; failed != f.failed {
			s.Errorf("%s: failed %t, want %t", f.name, failed, f.failed)
		}
		s.must(f.check)
		if text := s.guest.Console(); !regexp.MustCompile(f.console).MatchString(text) {
			s.Errorf("%s: the console does not say %q:\n%s", f.name, f.console, tail([]byte(text)))
		}
		if f.closed {
			s.closed(f.name)
		} else if len(s.verdict().Leaks) == 0 {
			s.Errorf("%s: nothing leaked, so the test would not see a lock that comes too late", f.name)
		}
		s.must(f.restore)
		s.mark()
	}
	s.guest.Kill()
}

// unfenced is the control of the udev rule: without it a card that comes behind
// the lock has no fence, and the wire shows it.
func (s *scene) unfenced() {
	s.Helper()
	s.must("mv /etc/udev/rules.d/99-vpnguard.rules /root && udevadm control --reload")
	s.mark()
	s.must(replug)
	s.seen("packet socket on a card without a fence", ways["packet"])
	s.must("mv /root/99-vpnguard.rules /etc/udev/rules.d && udevadm control --reload && vpnguard lock")
	s.online()
	s.mark()
}
