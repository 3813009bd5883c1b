package sysctl

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestRestoreGivesBackEveryKnobOfTheKernel(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h := handle(t)
	veth(t, h, "eth0.100", "192.0.2.1/24")
	veth(t, h, "eth1", "2001:db8::1/64")
	tun(t, h, "tun0", "10.8.0.2/24")
	for _, v := range []int{0, 1, 2} {
		set(t, RPFilter, All, v)
		set(t, RPFilter, "eth0.100", 2)
		set(t, ARPIgnore, All, 3*v)
		set(t, AcceptSourceRoute6, "eth1", 1)
		before := FS{}.dump(t)
		plan, skipped, err := Plan(FS{}, []string{"eth0.100", "eth1"}, []string{"tun0"})
		if err != nil || len(skipped) > 0 || len(plan) < 15 {
			t.Fatalf("%v, %v, skipped %v", lines(plan), err, skipped)
		}
		done, skipped, err := FS{}.Apply(plan)
		if err != nil || len(skipped) > 0 || len(done) != len(plan) {
			t.Fatalf("%v, %v, skipped %v", done, err, skipped)
		}
		if drift := (FS{}).Verify(plan); drift != nil {
			t.Error(drift)
		}
		changed := 0
		for name, v := range (FS{}).dump(t) {
			if before[name] != v {
				changed++
			}
		}
		if changed != len(plan) {
			t.Errorf("%d knobs differ after %d changes", changed, len(plan))
		}
		if errs := (FS{}).Restore(plan); errs != nil {
			t.Error(errs)
		}
		if diff := cmp.Diff(before, FS{}.dump(t)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestReadOnlyKnobsAreSkippedWithTheReason(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	veth(t, handle(t), "eth0", "192.0.2.1/24")
	dir := t.TempDir()
	must(t, unix.Mount("/proc/sys", dir, "", unix.MS_BIND, ""))
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	defer unix.Unmount(dir, unix.MNT_DETACH)
	fs := FS{Root: dir}
	plan, skipped, err := Plan(fs, []string{"eth0"}, nil)
	if err != nil || len(plan) > 0 || len(skipped) == 0 {
		t.Fatalf("plan %v, skipped %v, %v", plan, skipped, err)
	}
	var changes []Change
	for _, s := range skipped {
		if !errors.Is(s.Err, unix.EROFS) || !strings.Contains(s.Err.Error(), s.Knob.String()) {
			t.Errorf("%v: %v, want EROFS", s.Knob, s.Err)
		}
		changes = append(changes, s.Change)
	}
	done, again, err := fs.Apply(changes)
	if err != nil || len(done) > 0 || len(again) != len(changes) {
		t.Errorf("Apply: done %v, %d skipped of %d, %v", done, len(again), len(changes), err)
	}
}

// The kernel undoes our work in its own way; a second plan must see it.
func TestSecondPlanFindsWhatForwardingUndid(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	veth(t, handle(t), "eth0", "192.0.2.1/24")
	plan, _, err := Plan(FS{}, []string{"eth0"}, nil)
	must(t, err)
	_, _, err = FS{}.Apply(plan)
	must(t, err)
	for _, v := range []string{"1", "0"} {
		must(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte(v), 0))
	}
	again, _, err := Plan(FS{}, []string{"eth0"}, nil)
	must(t, err)
	if diff := cmp.Diff([]string{"ipv4/all/accept_redirects 1>0"}, lines(again)); diff != "" {
		t.Error(diff)
	}
}

func TestDisabledIPv6LeavesKnobsThatCanBeRestored(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	veth(t, handle(t), "eth0", "192.0.2.1/24")
	before := FS{}.dump(t)
	k, err := DisableIPv6(All)
	must(t, err)
	plan, _, err := PlanValue(FS{}, k, 1)
	must(t, err)
	_, _, err = FS{}.Apply(plan)
	must(t, err)
	data, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv6/conf/eth0/disable_ipv6"))
	if err != nil || string(data) != "1\n" {
		t.Errorf("all did not reach eth0: %q, %v", data, err)
	}
	if errs := (FS{}).Restore(plan); errs != nil {
		t.Error(errs)
	}
	if diff := cmp.Diff(before, FS{}.dump(t)); diff != "" {
		t.Error(diff)
	}
}
