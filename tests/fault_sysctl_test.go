package tests

import (
	"slices"
	"strings"
	"testing"
)

// knobsOf is what a snapshot has of sysctls.
func knobsOf(s map[string]string) map[string]string {
	knobs := map[string]string{}
	for key, value := range s {
		if strings.HasPrefix(key, "/proc/sys/") {
			knobs[key] = value
		}
	}
	return knobs
}

// Rules close; knobs only harden. One that may not be written is told, and is
// no drift; the state that is said is the one that is measured.
func TestKnobsThatMayNotBeWrittenAreToldAndDoNotStopTheSeal(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	s.leaks()
	for _, c := range []struct{ name, fault, before, after string }{
		{"refused with EPERM", "refuse:sysctl.write:EPERM", "", ""},
		{"refused with EROFS", "refuse:sysctl.write:EROFS", "", ""},
		{"read-only as in a container", "", "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys", "umount /proc/sys"},
	} {
		if err := s.lab.Client.Script(s.ctx, c.before); err != nil {
			t.Fatal(err)
		}
		_, stderr, code := s.run([]string{"VPNGUARD_FAULT=" + c.fault}, upByHand...)
		if code != 0 || !strings.Contains(stderr, "warning: net/ipv4/conf/eth0/rp_filter stays 0") {
			t.Errorf("%s: up exits %d: %s", c.name, code, stderr)
		}
		stdout, _ := s.must(0, "status")
		if !strings.HasPrefix(stdout, "state     sealed") || !strings.Contains(stdout, "enforced  yes") ||
			!strings.Contains(stdout, "note      net/ipv4/conf/eth0/rp_filter stays 0") {
			t.Errorf("%s: status says:\n%s", c.name, stdout)
		}
		s.closed(c.name)
		if before, now := knobsOf(s.before), knobsOf(s.snapshot()); before["/proc/sys/net/ipv4/conf/eth0/rp_filter"] != now["/proc/sys/net/ipv4/conf/eth0/rp_filter"] {
			t.Errorf("%s: the knob was written all the same", c.name)
		}
		s.must(0, "down")
		if err := s.lab.Client.Script(s.ctx, c.after); err != nil {
			t.Fatal(err)
		}
		s.original(c.name)
	}
}

func TestKnobThatFailsBlocksAndSaysSo(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	s.leaks()
	_, stderr, code := s.run([]string{"VPNGUARD_FAULT=refuse:sysctl.write:EIO"}, upByHand...)
	if code != 1 || !strings.Contains(stderr, `write 1 to sysctl "net/ipv4/conf/eth0/rp_filter": input/output error; the host is closed; `+"`vpnguard recover` opens it") {
		t.Errorf("up exits %d: %s", code, stderr)
	}
	s.closed("up failed")
	s.says("up failed", "blocked", 3)
	if stdout, _, _ := s.vpnguard("status"); !strings.Contains(stdout, "drift     write 1 to sysctl") {
		t.Errorf("status does not say why:\n%s", stdout)
	}

	s.must(0, upByHand...)
	s.says("up again without the fault", "sealed", 0)

	for _, errno := range []string{"EIO", "EPERM", "EROFS"} {
		_, stderr, code = s.run([]string{"VPNGUARD_FAULT=refuse:sysctl.write:" + errno}, "down")
		if code == 0 || !strings.Contains(stderr, "restore a sysctl") || !strings.Contains(stderr, "the host is closed; `vpnguard recover` opens it whatever its sysctls do") {
			t.Errorf("%s: down exits %d: %s", errno, code, stderr)
		}
		s.closed("down failed with " + errno)
		s.says("down failed with "+errno, "blocked", 3)
	}
	s.recovered("down failed")

	// Nobody is locked out by a knob.
	s.must(0, upByHand...)
	_, stderr, code = s.run([]string{"VPNGUARD_FAULT=refuse:sysctl.write:EIO"}, "recover")
	if code != 1 || !strings.Contains(stderr, "the host is open, but these are not as they were; `vpnguard recover` tries again") {
		t.Errorf("recover exits %d: %s", code, stderr)
	}
	s.says("recover left sysctls", "open", 3)
	s.leaks()
	s.must(0, "recover")
	s.says("recover tried again", "open", 0)
	s.original("after the second recover")
}

// What somebody else set meanwhile is theirs, and `down` says that it left it.
func TestDownLeavesAKnobThatSomebodyElseSetAlone(t *testing.T) {
	s := newFaultScene(t)
	s.must(0, upByHand...)
	const knob = "net/ipv4/conf/eth0/rp_filter" // 0 before, 1 by us
	if err := s.lab.Client.Script(s.ctx, "echo 2 > /proc/sys/"+knob); err != nil {
		t.Fatal(err)
	}
	s.says("knob changed", "sealed", 3)
	_, stderr := s.must(0, "down")
	if !strings.Contains(stderr, `warning: sysctl "`+knob+`" is 2, neither our 1 nor the former 0: left as it is`) {
		t.Errorf("down says: %s", stderr)
	}
	now := s.snapshot()
	var changed []string
	for key, value := range s.before {
		if now[key] != value {
			changed = append(changed, key)
		}
	}
	if !slices.Equal(changed, []string{"/proc/sys/" + knob}) || now["/proc/sys/"+knob] != "2\n" {
		t.Errorf("changed: %q", changed)
	}
}
