package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// trialTime is the shortest trial there is.
const trialTime = 5 * time.Second

// A trialEnd is what happens to the programs of a trial before it ends.
type trialEnd struct {
	guardian bool
	// locks starts the trial; nil is the plain command.
	locks func(*scene)
	// happens is what goes wrong after that; may be nil.
	happens func(*scene, *guardianProcess)
}

var trialEnds = map[string]trialEnd{
	"the timer is killed, a guardian runs": {guardian: true, happens: func(s *scene, _ *guardianProcess) { s.endTimer(syscall.SIGKILL) }},
	"the guardian is killed, the timer runs": {guardian: true, happens: func(s *scene, g *guardianProcess) {
		_ = g.ends(syscall.SIGKILL)
	}},
	"both are killed, another guardian starts": {guardian: true, happens: func(s *scene, g *guardianProcess) {
		_ = g.ends(syscall.SIGKILL)
		s.endTimer(syscall.SIGKILL)
		s.watch()
	}},
	"the timer is asked to end":             {happens: func(s *scene, _ *guardianProcess) { s.endTimer(syscall.SIGTERM) }},
	"the terminal goes":                     {locks: func(s *scene) { s.lockInTerminal(true) }},
	"the terminal goes while it locks":      {locks: func(s *scene) { s.lockInTerminal(false) }},
	"the session's process group is killed": {locks: (*scene).lockInKilledSession},
}

func TestTrialUndoesItselfWhateverDies(t *testing.T) {
	for name, end := range trialEnds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "")
			before := s.snapshot()
			s.shown(lockProbes[:3])
			s.trial(end)
			s.until("the trial ends", func() bool {
				out, _, _ := s.vpnguard("status")
				return strings.HasPrefix(out, "state     open")
			})
			s.restored(before)
			if s.keptOverBoots() {
				t.Error("a trial that ended is kept over boots")
			}
			s.shown(lockProbes[:3])
		})
	}
}

func TestConfirmKeepsATrialWhateverDied(t *testing.T) {
	for name, end := range trialEnds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "")
			before := s.snapshot()
			s.shown(lockProbes[:3])
			began := time.Now()
			s.trial(end)
			s.must(0, "confirm")
			if !s.keptOverBoots() {
				t.Error("a confirmed lock is not kept over boots")
			}
			time.Sleep(time.Until(began.Add(trialTime + 2*time.Second)))
			s.state("locked")
			s.must(0, "status")
			s.closed(lockProbes[:3])
			s.must(0, "unlock")
			s.restored(before)
		})
	}
}

// trial starts one, lets happen what the case is about, and finds it going on.
func (s *scene) trial(end trialEnd) {
	s.Helper()
	var g *guardianProcess
	if end.guardian {
		g = s.watch()
	}
	if end.locks == nil {
		s.must(0, "lock", "--try", trialTime.String())
	} else {
		end.locks(s)
	}
	if end.happens != nil {
		end.happens(s, g)
	}
	s.state("locked")
	s.closed(lockProbes[:3])
}

// endTimer signals the process that would end the trial.
func (s *scene) endTimer(sig syscall.Signal) {
	s.Helper()
	pids := s.timers()
	if len(pids) != 1 {
		s.Fatalf("the timers of the trial are %d", pids)
	}
	if err := unix.Kill(pids[0], sig); err != nil {
		s.Fatal(err)
	}
	if sig == syscall.SIGKILL {
		s.until("the timer is gone", func() bool { return len(s.timers()) == 0 })
	}
}

// timers are the processes in the client's network namespace that end a trial.
func (s *scene) timers() (pids []int) {
	s.Helper()
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", s.lab.Client.PID()))
	if err != nil {
		s.Fatal(err)
	}
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.Fatal(err)
	}
	for _, dir := range all {
		// Either may vanish meanwhile.
		args, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		net, _ := os.Readlink(filepath.Join(dir, "ns/net"))
		if net == own && bytes.Contains(args, []byte("\x00expire\x00--try\x00")) {
			pid, err := strconv.Atoi(filepath.Base(dir))
			if err != nil {
				s.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// trialInShell is a login shell in which a user tries the lock and waits.
func (s *scene) trialInShell() *exec.Cmd {
	return s.lab.Client.Command(s.ctx, "sh", "-c", `"$0" lock --try `+trialTime.String()+` && echo waiting && sleep 1000`, s.exe)
}

// lockInTerminal tries the lock in a terminal that is closed when that is done,
// or in the middle of it.
func (s *scene) lockInTerminal(done bool) {
	s.Helper()
	master, terminal := s.terminal()
	defer terminal.Close()
	cmd := s.trialInShell()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	var said lines
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			_, _ = said.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	if done {
		s.until("the trial goes on in the terminal", func() bool { return strings.Contains(said.String(), "waiting") })
	} else {
		s.until("the program has begun", func() bool { return len(s.timers()) > 0 })
	}
	if err := master.Close(); err != nil {
		s.Fatal(err)
	}
	<-read
	var status syscall.WaitStatus
	if err := cmd.Wait(); err != nil {
		status, _ = cmd.ProcessState.Sys().(syscall.WaitStatus)
	}
	if !status.Signaled() || status.Signal() != syscall.SIGHUP {
		s.Fatalf("the shell did not hang up: %v; it said %s", cmd.ProcessState, said.String())
	}
	if !done {
		s.until("the lock is in force or over", func() bool {
			out, _, _ := s.vpnguard("status")
			return !strings.HasPrefix(out, "state     open") && !strings.HasPrefix(out, "state     blocked")
		})
	}
}

// terminal opens a pair of ends.
func (s *scene) terminal() (master, terminal *os.File) {
	s.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		s.Fatalf("open a terminal: %v", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		s.Fatalf("unlock the terminal: %v", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		s.Fatalf("number of the terminal: %v", err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.Fatalf("open the terminal: %v", err)
	}
	return master, terminal
}

// lockInKilledSession tries the lock in a session all of whose processes are
// then killed.
func (s *scene) lockInKilledSession() {
	s.Helper()
	cmd := s.trialInShell()
	var said lines
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	s.until("the trial goes on in the session", func() bool { return strings.Contains(said.String(), "waiting") })
	if err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL); err != nil {
		s.Fatal(err)
	}
	_ = cmd.Wait()
}

// Killed at any step, the command leaves behind who ends the trial.
func TestTrialUndoesItselfWhereverTheCommandIsKilled(t *testing.T) {
	args := []string{"lock", "--try", trialTime.String()}
	first := newFaultScene(t)
	first.leaks()
	points := first.learn(args...)
	effects(t, points, "state.save", "nft.commit", "sysctl.write")
	first.must(0, "unlock")
	closed := first.place(points, "nft.commit.after", 1)
	for _, name := range []string{"state.save.before-rename", "up.recorded", "nft.commit.after", "up.closed", "sysctl.write.after", "up.hardened", "up.done"} {
		i := first.place(points, name, 1)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFaultScene(t)
			began := time.Now()
			s.kill(points[i], args...)
			if i >= closed {
				s.closed("a trial killed at " + name)
			}
			s.until("the timer is gone", func() bool { return len(s.timers()) == 0 })
			if took := time.Since(began); took < trialTime-time.Second {
				t.Errorf("the timer is gone after %v", took)
			}
			s.says("after the trial killed at "+name, "open", 0)
			s.original("after the trial killed at " + name)
		})
	}
}
