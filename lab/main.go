package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Environment through which the stages of one program tell each other who they
// are. envInside holds the network namespace that was left behind, so that a
// value that strayed into a shell does not make a program believe it is inside.
const (
	envRole   = "VPNGUARD_LAB_ROLE"
	envInside = "VPNGUARD_LAB_OUTSIDE"
	envSingle = "VPNGUARD_LAB_SINGLE_UID"
)

// WorkDir is shared by all nodes and writable for every uid. It is a tmpfs that
// vanishes with the program, and TMPDIR points to it.
const WorkDir = "/run/lab"

// selfExe is this program at a path that every uid can execute: the directory
// that go test builds in is closed to all but its owner.
const selfExe = WorkDir + "/.self"

// Self is this program at a path that every uid can execute.
const Self = selfExe

// Main runs the tests of m inside the namespaces and exits. It does not return.
//
//	func TestMain(m *testing.M) { lab.Main(m) }
func Main(m *testing.M) {
	os.Exit(Run(m.Run))
}

// Run runs f inside new namespaces, in a copy of this program with the same
// arguments, standard streams and working directory, and returns f's result.
// It must be called before anything else that the program does, because the
// copies that hold namespaces, capture and send start in it too.
//
// 125 means that the namespaces could not be made; the reason is on stderr.
func Run(f func() int) int {
	if role := os.Getenv(envRole); role != "" {
		os.Unsetenv(envRole)
		return playRole(role)
	}
	if err := requireInside(); err == nil {
		return f()
	}
	code, err := enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 125
	}
	return code
}

// ErrOutside is returned by [New] in a program that did not start by [Run] or
// [Main].
var ErrOutside = errors.New("not inside the laboratory's namespaces")

func requireInside() error {
	outside := os.Getenv(envInside)
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return fmt.Errorf("read own network namespace: %w", err)
	}
	if outside == "" || outside == own || initialUserNamespace() {
		return ErrOutside
	}
	return nil
}

func initialUserNamespace() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	return err != nil || strings.Join(strings.Fields(string(text)), " ") == "0 0 4294967295"
}

// initRole is the first process of the pid namespace: it reaps what its
// children leave and takes everything with it when the program proper ends.
func initRole() int {
	if err := prepareSandbox(); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 125
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+WorkDir)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "lab: start %q inside: %v\n", os.Args[0], err)
		return 125
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			fmt.Fprintf(os.Stderr, "lab: wait for %q: %v\n", os.Args[0], err)
			return 125
		case pid == cmd.Process.Pid && status.Exited():
			return status.ExitStatus()
		case pid == cmd.Process.Pid && status.Signaled():
			return 128 + int(status.Signal())
		}
	}
}

// superviseFromOutside waits for the namespaced copy and passes signals on.
func superviseFromOutside(cmd *exec.Cmd) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	defer signal.Stop(signals)
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s)
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("wait for %q in its namespaces: %w", os.Args[0], err)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// dieWithParent needs the starting thread to live as long as the parent.
func dieWithParent(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	runtime.LockOSThread()
	attr.Pdeathsig = unix.SIGKILL
	return attr
}
