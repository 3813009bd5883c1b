//go:build vm

package vm

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// lockedBoots is how often each manager's machine is switched on with the lock.
const lockedBoots = 3

// ways are what the guest's sender tries, by how the wire shows it.
var ways = map[string]wire.Evidence{
	"udp":    {Needles: [][]byte{[]byte("vm-early-udp-")}},
	"udp6":   {Needles: [][]byte{[]byte("vm-early-udp6-")}},
	"lan":    {Needles: [][]byte{[]byte("vm-early-lan-")}},
	"server": {Needles: [][]byte{[]byte("vm-early-server-")}},
	"bound":  {Needles: [][]byte{[]byte("vm-early-bound-")}},
	"group6": {Needles: [][]byte{[]byte("vm-early-group6-")}},
	"tcp":    {Flows: []wire.Flow{{Proto: wire.TCP, DstPort: 443}}},
	"ping":   {Needles: [][]byte{[]byte("vm-early-ping-")}},
	"packet": {Needles: [][]byte{[]byte("vm-early-packet-")}},
}

// daemons are what the host's own services say as soon as they can.
var daemons = map[string]wire.Evidence{
	"NTP":               {Flows: []wire.Flow{{Proto: wire.UDP, DstPort: 123}}},
	"LLMNR":             {Flows: []wire.Flow{{Proto: wire.UDP, DstPort: 5355}}},
	"mDNS":              {Flows: []wire.Flow{{Proto: wire.UDP, DstPort: 5353}}},
	"multicast reports": {Needles: [][]byte{{0x33, 0x33, 0, 0, 0, 0x16}}},
}

// silent are the daemons that a manager does not let speak.
var silent = map[string][]string{"ifupdown": {"LLMNR", "mDNS"}}

// drift is what a manager changes behind the lock, as status tells it. The
// NetworkManager loosens a strict rp_filter for its connectivity check; the
// rules look at the reverse path themselves.
var drift = map[string]string{
	"NetworkManager": `drift     sysctl "net/ipv4/conf/wire0/rp_filter" is 2, should be 1`,
}

// An act is what happens to an installed and running lock.
type act struct{ name, script string }

// replug is a card that goes and comes, as one on USB does.
const replug = "modprobe -r virtio_net && modprobe virtio_net && udevadm settle"

var acts = []act{
	{"stop", "systemctl stop vpnguard-lock"},
	{"start", "systemctl start vpnguard-lock"},
	{"restart", "systemctl restart vpnguard-lock"},
	{"package upgrade", `set -e
		cp /usr/local/sbin/vpnguard /usr/local/sbin/vpnguard.new
		mv /usr/local/sbin/vpnguard.new /usr/local/sbin/vpnguard
		touch /etc/systemd/system/vpnguard-lock.service /etc/udev/rules.d/99-vpnguard.rules
		systemctl daemon-reload
		udevadm control --reload
		systemctl reenable vpnguard-lock
		systemctl try-restart vpnguard-lock`},
	{"package removed and put back", `set -e
		units=/etc/systemd/system/vpnguard-lock.service
		systemctl disable --now vpnguard-lock
		mv /usr/local/sbin/vpnguard $units /root
		systemctl daemon-reload
		mv /root/vpnguard /usr/local/sbin
		mv /root/vpnguard-lock.service $units
		systemctl daemon-reload
		systemctl enable --now vpnguard-lock`},
	{"udev told of its devices again", "udevadm trigger --action=add --settle /sys/class/net/wire0"},
	{"card pulled and put back", replug},
}

func TestNothingLeavesBeforeTheLockStands(t *testing.T) {
	for _, manager := range slices.Sorted(maps.Keys(managers)) {
		t.Run(manager, func(t *testing.T) {
			s := newScene(t, manager)
			s.open(manager)
			for n := range lockedBoots {
				s.boot()
				s.online()
				s.locked(drift[manager])
				s.must("systemctl start stream")
				if n == lockedBoots-1 {
					break
				}
				s.off([]string{"systemctl reboot", "systemctl poweroff"}[n%2])
				s.closed("boot, time on and shutdown")
			}
			s.tried("stream")
			s.closed("boot")
			for _, a := range acts {
				s.mark()
				before := s.tries("stream")
				s.must(a.script)
				s.online()
				time.Sleep(time.Second)
				s.closed(a.name)
				if n := s.tries("stream") - before; n <= 0 {
					s.Errorf("%s: the stream tried %d times meanwhile", a.name, n)
				}
				s.status("locked", drift[manager])
			}
			s.mark()
			s.must("vpnguard unlock")
			stream := wire.Evidence{Needles: [][]byte{[]byte("vm-stream-")}}
			s.seen("stream after unlock", stream)
			s.lasting(stream)
		})
	}
}

// open is the control: the same machine, without the lock, sends all that the
// locked one must not. At its end the machine is locked and goes down.
func (s *scene) open(manager string) {
	s.Helper()
	s.boot()
	s.online()
	s.must("systemctl start stream")
	for name, e := range ways {
		s.seen(name, e)
	}
	for name, e := range daemons {
		if !slices.Contains(silent[manager], name) {
			s.seen(name, e)
		}
	}
	s.seen("stream", wire.Evidence{Needles: [][]byte{[]byte("vm-stream-packet-")}})
	s.Logf("control: %d frames that link upkeep does not explain", len(s.verdict().Leaks))
	s.must("systemctl enable vpnguard-lock && vpnguard lock")
	s.mark()
	s.off("systemctl reboot")
	s.closed("shutdown after the first lock")
}

// lasting is the control of the shutdown: an open machine sends while it goes down.
func (s *scene) lasting(stream wire.Evidence) {
	s.Helper()
	s.must("systemctl poweroff")
	s.mark()
	if err := s.guest.Off(); err != nil {
		s.Fatal(err)
	}
	late := stream.Find(s.guest.Gateway.Frames()[s.since:])
	if len(late) == 0 {
		s.Fatal("nothing was sent during the shutdown, so the test would not see a lock that opens then")
	}
	s.Logf("control: %d frames of the stream during the shutdown, the last %.1fs before power-off", len(late), time.Since(late[len(late)-1].Time).Seconds())
}

// seen waits until the wire shows it.
func (s *scene) seen(what string, e wire.Evidence) {
	s.Helper()
	for end := time.Now().Add(patience); len(e.Find(s.guest.Gateway.Frames()[s.since:])) == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("%s: not seen on the wire after %s", what, patience)
		}
	}
}

// locked demands that the lock stands, that it is whole but for the drift, and
// that it was tried.
func (s *scene) locked(drift string) {
	s.Helper()
	s.must("systemctl is-active vpnguard-lock")
	s.status("locked", drift)
	s.tried("early")
}

// status demands a state, and that nothing is said to differ but drift, if that.
func (s *scene) status(state, drift string) {
	s.Helper()
	out, exit, err := s.guest.Run(time.Minute, "vpnguard status 2>/dev/null")
	if err != nil {
		s.Fatal(err, "\n", string(s.guest.consoleTail()))
	}
	drifts := 0
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "drift") && (drift == "" || strings.TrimSpace(line) != drift) {
			drifts++
		}
	}
	whole := exit == 0 || exit == 3 && drift != ""
	if !whole || drifts > 0 || !strings.HasPrefix(out, "state     "+state) {
		s.Errorf("status: exit %d, want state %s and no drift but %q:\n%s", exit, state, drift, out)
	}
}

// tried demands that each way was tried often, or that nothing left would mean nothing.
func (s *scene) tried(name string) {
	s.Helper()
	const often = 20
	s.eventually("trying each way out", fmt.Sprintf("cat /run/sent-%s; awk '$2 < %d { few = 1 } END { exit few || NR != %d }' /run/sent-%s", name, often, len(ways), name))
	s.Logf("tried (way, times, taken by the kernel, seconds since power-on):\n%s", s.must("cat /run/sent-"+name))
}

// tries is how often the sender has tried so far, by all ways.
func (s *scene) tries(name string) int {
	s.Helper()
	n, err := strconv.Atoi(s.must("awk '{ n += $2 } END { print n }' /run/sent-" + name))
	if err != nil {
		s.Fatal(err)
	}
	return n
}
