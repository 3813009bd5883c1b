package state

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// The test binary starts itself with childEnv set to "job directory argument".
const childEnv = "VPNGUARD_STATE_TEST_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		if err := child(strings.Fields(job)); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(job []string) error {
	s := New(job[1])
	s.BootID = func() (string, error) { return bootA, nil }
	switch job[0] {
	case "save":
		testOnlyStep = func(name string) {
			if f, err := os.OpenFile(job[2]+".steps", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err == nil {
				_, _ = f.WriteString(name + "\n")
				f.Close()
			}
			if job[2] == filepath.Join(filepath.Dir(job[2]), name) {
				_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
				select {}
			}
		}
		if err := s.Lock(context.Background()); err != nil {
			return err
		}
		return s.Save(sample)
	case "hold":
		if err := s.Lock(context.Background()); err != nil {
			return err
		}
		println("held")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return nil
	case "full":
		return fillDisk(job[1])
	}
	return errors.New("unknown job")
}

func childCommand(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(args, " "))
	return cmd
}

func TestKillAtAnyStepLeavesOldOrNew(t *testing.T) {
	log := filepath.Join(t.TempDir(), "none")
	s := newStore(t)
	if out, err := childCommand("save", s.path, log).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(log + ".steps")
	if err != nil {
		t.Fatal(err)
	}
	steps := strings.Fields(string(data))
	if len(steps) < 8 {
		t.Fatalf("only steps %q", steps)
	}
	old := body{Device: "old"}
	seen := map[string]bool{}
	for _, step := range steps {
		for _, first := range []bool{true, false} {
			s := newStore(t)
			if !first {
				mustSave(t, s, old)
			}
			err := childCommand("save", s.path, filepath.Join(t.TempDir(), step)).Run()
			wantKilled(t, err)
			var got body
			_, err = s.Load(&got)
			switch {
			case first && errors.Is(err, ErrNone):
				seen["none"] = true
			case err != nil:
				t.Errorf("killed at %s: %v", step, err)
			case !first && cmp.Equal(got, old):
				seen["old"] = true
			case cmp.Equal(got, sample):
				seen["new"] = true
			default:
				t.Errorf("killed at %s: neither old nor new: %+v", step, got)
			}
			mustSave(t, s, sample) // the dead child's lock and temp file are no obstacle
		}
	}
	if !seen["none"] || !seen["old"] || !seen["new"] {
		t.Errorf("the kills did not reach both sides of the rename: %v", seen)
	}
}

func wantKilled(t *testing.T, err error) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("child was not killed: %v", err)
	}
}

func TestLockExcludesAnotherProcessAndNamesIt(t *testing.T) {
	s := newStore(t)
	cmd := childCommand("hold", s.path)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stderr, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	if _, err := stderr.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	err = s.Lock(ctx)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want LockedError with pid %d", err, cmd.Process.Pid)
	}
	if _, err := s.Load(&body{}); !errors.Is(err, ErrNone) {
		t.Errorf("Load must not wait for the lock: %v", err)
	}
	// Both ways out release it: a kill, and an end in order.
	must(t, cmd.Process.Kill())
	lock(t, s)
	must(t, s.Unlock())
	stdin.Close()
	_ = cmd.Wait()
}

func TestLockExcludesAnotherGoroutine(t *testing.T) {
	s := newStore(t)
	lock(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := s.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want a deadline error", err)
	}
	got := make(chan error)
	go func() { got <- s.Lock(t.Context()) }()
	must(t, s.Unlock())
	must(t, <-got)
}

// A lock on a removed directory excludes nobody: the next process makes a new one.
func TestLockIsTakenOnTheDirectoryThatOthersSee(t *testing.T) {
	s := newStore(t)
	other := New(s.path)
	lock(t, other)
	got := make(chan error)
	go func() { got <- s.Lock(t.Context()) }()
	must(t, os.Rename(s.path, s.path+".gone")) // at once, unlike a removal
	must(t, <-got)
	if !stillThere(s.path, s.held.file) {
		t.Error("locked a file that is gone")
	}
}
