package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
)

// `systemctl kill -s USR1` reaches every process of a unit, the hook too; a
// client whose hook dies of it gives up.
func TestSignalsDoNotKillAHookThatWaits(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP}
	pester := func(l *life) {
		hook := l.hook()
		for range 5 {
			for _, sig := range signals {
				l.try(syscall.Kill(hook, sig))
			}
			l.pause("the hook has had its signals")
		}
		if again := l.hook(); again != hook {
			l.Errorf("hook %d is gone", hook)
		}
	}
	e := event{}
	e.happens = func(l *life) {
		var lock *holder
		if l.guarded {
			lock = l.hold()
		}
		l.signal(syscall.SIGUSR1) // `down`
		if l.guarded {
			pester(l)
			l.blocks()
			lock.release()
			l.becomes("connecting")
			lock = l.hold()
			pester(l) // `up`
			lock.release()
		} else {
			l.away()
		}
		l.up(2)
	}
	e.test(t, func(l *life) {
		l.works()
		l.stops()
	})
}

// bare is a hook that is called with as little as a process can have. It ends
// in a directory that is gone, with no streams, no variable of its own, and a
// umask that hides everything.
const bare = `#!/bin/sh
/bin/mkdir "$0.gone.$$" && cd "$0.gone.$$" && /bin/rmdir "$0.gone.$$" || exit 99
[ -z "$PATH$HOME" ] || [ -z "$HOME" ] || exit 98
unset PATH HOME PWD OLDPWD
umask 077
exec VPNGUARD "$@" <&- >&- 2>&-
`

func TestHookNeedsNothingOfItsCaller(t *testing.T) {
	e := event{client: openvpn.Client{Up: labDir + "/bare up", Down: labDir + "/bare down"}}
	e.prepare = func(l *life) {
		l.try(os.WriteFile(filepath.Join(l.lab.Dir, "bare"), []byte(strings.ReplaceAll(bare, theProgram, l.exe)), 0o755))
	}
	e.happens = func(l *life) {
		l.sever()
		l.signal(syscall.SIGUSR1)
		l.becomes("connecting")
		l.away()
		l.mend()
		l.up(2)
	}
	e.test(t, func(l *life) {
		l.works()
		// The record must not be hidden from hooks without privileges.
		for path, want := range map[string]os.FileMode{"/run/vpnguard": 0o755, "/run/vpnguard/state.json": 0o644, "/run/vpnguard/lock": 0o600} {
			info, err := os.Stat(l.lab.Client.Path(path))
			l.try(err)
			if got := info.Mode().Perm(); got != want {
				t.Errorf("%s has mode %o, want %o", path, got, want)
			}
		}
		l.stops()
	})
}

// pidsGroup makes a cgroup of at most that many tasks, threads included, as
// Debian's openvpn@.service has with TasksMax=10.
func pidsGroup(l *life, most int) string {
	l.Helper()
	var tried []string
	for _, root := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		dir := filepath.Join(root, fmt.Sprintf("vpnguard-life-%d-%s", most, filepath.Base(l.lab.Dir)))
		if err := os.Mkdir(dir, 0o755); err != nil {
			tried = append(tried, err.Error())
			continue
		}
		l.Cleanup(func() { removeGroup(l, dir) })
		if err := os.WriteFile(dir+"/pids.max", []byte(strconv.Itoa(most)), 0o644); err != nil {
			tried = append(tried, err.Error())
			continue
		}
		return dir
	}
	l.Skipf("no cgroup with the pids controller can be made here: %q", tried)
	return ""
}

func removeGroup(l *life, dir string) {
	// Its processes end with the laboratory; the kernel takes a moment.
	l.lab.Close()
	var err error
	for range 500 {
		if err = os.Remove(dir); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.Errorf("remove the test's cgroup: %v", err)
}

func TestHookLivesWithTenTasksTogetherWithItsClient(t *testing.T) {
	dir := ""
	e := event{server: namesServer(), prepare: func(l *life) { l.resolvedRuns() }}
	e.happens = func(l *life) {
		var lock *holder
		if l.guarded {
			dir = pidsGroup(l, 10)
			l.try(os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(l.client.PID())), 0o644))
			lock = l.hold()
		}
		l.signal(syscall.SIGUSR1)
		if l.guarded {
			hook := l.hook()
			group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", hook))
			l.try(err)
			if !strings.Contains(string(group), filepath.Base(dir)) {
				l.Fatalf("the hook is not in the group: %s", group)
			}
			lock.release()
			l.becomes("connecting")
		}
		l.away()
		l.up(2)
	}
	e.test(t, func(l *life) {
		l.works()
		peak, _ := os.ReadFile(dir + "/pids.peak")
		refused, err := os.ReadFile(dir + "/pids.events")
		l.try(err)
		t.Logf("most tasks at once: %s; %s", strings.TrimSpace(string(peak)), strings.TrimSpace(string(refused)))
		if strings.TrimSpace(string(refused)) != "max 0" {
			t.Errorf("the limit was hit: %s", refused)
		}
		l.stops()
	})
}

// The limit is real: with one task besides the client, no Go program starts.
func TestHookThatCannotStartEndsTheClientClosed(t *testing.T) {
	e := event{}
	e.happens = func(l *life) {
		if l.guarded {
			dir := pidsGroup(l, 2)
			l.try(os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(l.client.PID())), 0o644))
		}
		l.signal(syscall.SIGUSR1)
		if l.guarded {
			l.ended(1)
		}
		l.away()
	}
	e.test(t, func(l *life) {
		if !strings.Contains(l.client.Log(), "failed to create new OS thread") {
			t.Errorf("another reason:\n%s", l.client.Log())
		}
		l.must(0, "recover")
		l.opened()
	})
}
