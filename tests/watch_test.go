package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// guardianProcess is `vpnguard watch` in the client's namespaces.
type guardianProcess struct {
	s    *scene
	cmd  *exec.Cmd
	done chan error

	mu  sync.Mutex
	out bytes.Buffer
}

func (g *guardianProcess) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out.Write(b)
}

func (g *guardianProcess) log() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out.String()
}

// watch starts a guardian and waits until it answers.
func (s *scene) watch(args ...string) *guardianProcess {
	s.Helper()
	g := s.startWatch(args...)
	s.until("the guardian guards", func() bool {
		select {
		case err := <-g.done:
			s.Fatalf("the guardian ended: %v\n%s", err, g.log())
		default:
		}
		return strings.Contains(g.log(), "msg=guarding")
	})
	return g
}

func (s *scene) startWatch(args ...string) *guardianProcess {
	s.Helper()
	g := &guardianProcess{s: s, cmd: s.lab.Client.Command(s.ctx, s.exe, append([]string{"watch"}, args...)...), done: make(chan error, 1)}
	g.cmd.Stdout, g.cmd.Stderr = g, g
	if err := g.cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go func() { g.done <- g.cmd.Wait() }()
	s.Cleanup(func() {
		_ = g.cmd.Process.Kill()
	})
	return g
}

// ends waits for the guardian's end, after a signal if it is one.
func (g *guardianProcess) ends(sig syscall.Signal) error {
	g.s.Helper()
	if sig != 0 {
		if err := g.cmd.Process.Signal(sig); err != nil {
			g.s.Fatal(err)
		}
	}
	select {
	case err := <-g.done:
		return err
	case <-time.After(20 * time.Second):
		g.s.Fatalf("the guardian does not end:\n%s", g.log())
		return nil
	}
}

// says waits until the log has a text.
func (g *guardianProcess) says(text string) {
	g.s.Helper()
	g.s.until(fmt.Sprintf("the guardian says %q", text), func() bool { return strings.Contains(g.log(), text) })
}

// guardianView is what status tells of the guardian.
type guardianView struct {
	Running  bool
	PID      int
	Owns     bool
	Heals    int
	LastHeal struct {
		Took     time.Duration
		Drift    []string
		Culprits []string
	} `json:"last_heal"`
}

func (s *scene) guardian() guardianView {
	s.Helper()
	out, stderr, _ := s.vpnguard("status", "--json")
	var v struct{ Guardian guardianView }
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		s.Fatalf("%v: %s%s", err, out, stderr)
	}
	return v.Guardian
}

func TestGuardianOwnsTheTablesAndASecondOneRefuses(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	before := s.snapshot()
	s.must(0, "lock", "--endpoint", "203.0.113.10:1194/udp")
	g := s.watch()
	if v := s.guardian(); !v.Running || !v.Owns || v.PID == 0 {
		t.Fatalf("%+v\n%s", v, g.log())
	}
	s.must(0, "status")
	for _, edit := range []string{"delete table inet vpnguard", "flush chain inet vpnguard output", "insert rule inet vpnguard output accept"} {
		if out, err := s.lab.Client.Run(s.ctx, "nft", edit); err == nil {
			t.Errorf("nft %q was not refused: %s", edit, out)
		}
	}
	if out, err := s.lab.Client.Run(s.ctx, "nft", "flush", "ruleset"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.must(0, "status")
	s.closed(lockProbes)
	second := s.startWatch()
	if err := second.ends(0); err == nil || !strings.Contains(second.log(), "another guardian runs (pid") {
		t.Errorf("a second guardian: %v\n%s", err, second.log())
	}
	s.must(0, "unlock")
	s.state("open")
	s.restored(before)
	s.must(0, "lock")
	if err := g.ends(syscall.SIGTERM); err != nil {
		t.Errorf("%v\n%s", err, g.log())
	}
	s.state("locked")
	s.closed(lockProbes)
	s.must(0, "unlock")
	s.restored(before)
}
