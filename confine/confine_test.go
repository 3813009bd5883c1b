package confine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/confine"
	"github.com/vpnguard/vpnguard/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }

// trial is a program in testdata that is confined, or not, and tries things.
func trial(t *testing.T, exe, mode string) (tried map[string]string, missing []string, status []map[string]string) {
	t.Helper()
	dir, err := os.MkdirTemp(lab.WorkDir, "trial-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, mode, dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: []uintptr{unix.CAP_SETPCAP, unix.CAP_NET_ADMIN}, Credential: credential()}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}()
	var got struct {
		Missing []string
		Tried   map[string]string
		Works   string
	}
	if err := json.NewDecoder(out).Decode(&got); err != nil {
		t.Fatalf("%s: %v", mode, err)
	}
	if got.Works != "" {
		t.Errorf("%s: what must work does not: %s", mode, got.Works)
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", cmd.Process.Pid))
	if err != nil || len(tasks) < 5 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that ended meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]string{}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			fields[name] = strings.TrimSpace(value)
		}
		status = append(status, fields)
	}
	return got.Tried, got.Missing, status
}

// credential is another user, where the laboratory has one.
func credential() *syscall.Credential {
	if lab.SingleUID() {
		return nil
	}
	return &syscall.Credential{Uid: 1000, Gid: 1000}
}

func build(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(lab.WorkDir, "trial")
	cmd := exec.Command("go", "build", "-o", exe, "./testdata/trial")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return exe
}

func TestConfinedProcessIsRefusedEverythingElse(t *testing.T) {
	exe := build(t)
	free, _, _ := trial(t, exe, "free")
	// What is refused to everybody, or to this user, proves nothing about seccomp.
	never := map[string]bool{"trace": true, "read a process": true, "signal another": true, "thread's signal": true, "a user": true, "bpf": true, "io_uring": true}
	for what, got := range free {
		if got == unix.EPERM.Error() && !never[what] {
			t.Errorf("free: %s is refused, so that its refusal proves nothing", what)
		}
	}
	for _, mode := range []string{"all", "seccomp"} {
		tried, missing, status := trial(t, exe, mode)
		if len(missing) != 0 {
			t.Errorf("%s: this kernel lacks %q", mode, missing)
		}
		for what, got := range tried {
			if got != unix.EPERM.Error() {
				t.Errorf("%s: %s: %s", mode, what, got)
			}
		}
		if len(tried) != len(free) {
			t.Errorf("%s: %d attempts, free %d", mode, len(tried), len(free))
		}
		for _, s := range status {
			for name, want := range map[string]string{
				"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2",
			} {
				if s[name] != want {
					t.Errorf("%s: thread %s: %s is %s, want %s", mode, s["Pid"], name, s[name], want)
				}
			}
		}
	}
}

const none = "0000000000000000"

// Landlock alone refuses files; and where it is there, so does it to all threads.
func TestLandlockRefusesTheFileSystem(t *testing.T) {
	exe := build(t)
	free, _, _ := trial(t, exe, "free")
	tried, missing, _ := trial(t, exe, "landlock")
	if len(missing) > 0 {
		t.Fatalf("this kernel lacks %q", missing)
	}
	for _, what := range []string{"open a file", "make a file", "list a file"} {
		if free[what] != "allowed" || tried[what] != unix.EACCES.Error() {
			t.Errorf("%s: free %s, confined %s", what, free[what], tried[what])
		}
	}
	if tried["open a socket"] != "allowed" {
		t.Errorf("Landlock alone refuses a UDP socket: %s", tried["open a socket"])
	}
}

func TestProbeTellsOfEachPart(t *testing.T) {
	parts := confine.Probe()
	if len(parts) != 4 {
		t.Errorf("parts %v", parts)
	}
	for _, p := range parts {
		if p.Err != nil {
			t.Errorf("this kernel lacks %v", p)
		}
	}
	for version, want := range map[int]int{0: 3, 1: 2, 3: 2, 4: 1, 5: 1, 6: 0, 9: 0} {
		var missing []confine.Part
		for _, p := range confine.LandlockParts(version, nil) {
			if p.Err != nil {
				missing = append(missing, p)
			}
		}
		if len(missing) != want || want == 2 && !strings.HasPrefix(missing[0].String(), "Landlock for TCP (since Linux 6.7): ") {
			t.Errorf("version %d lacks %v", version, missing)
		}
	}
}

func TestAProgramWithCgoIsToldHowToBeBuilt(t *testing.T) {
	err := confine.Refusal(syscall.ENOTSUP)
	if !errors.Is(err, syscall.ENOTSUP) || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("ENOTSUP: %v", err)
	}
	if err := confine.Refusal(syscall.EPERM); !errors.Is(err, syscall.EPERM) || err.Error() != syscall.EPERM.Error() {
		t.Errorf("EPERM: %v, wanted as it is", err)
	}
}
