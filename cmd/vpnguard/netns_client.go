package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// fdHook is where OpenVPN's hooks reach the process that keeps the namespace:
// OpenVPN and its hooks inherit it, so that nobody else has it, and a hook of an
// OpenVPN without privileges has it too.
const fdHook = 3

// programDirs are searched for OpenVPN: the process that keeps a namespace has no
// environment.
var programDirs = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// client is a running OpenVPN.
type client struct {
	pid   int
	hooks *os.File // our end of fdHook
	ended chan error
}

// startClient starts OpenVPN in a directory, with nothing of the caller's
// environment, and hands over what it prints. It is killed when this process ends, unless it has changed its
// user.
func startClient(dir string, args []string, log io.Writer) (*client, error) {
	program := ""
	for _, d := range programDirs {
		if file := filepath.Join(d, "openvpn"); unix.Access(file, unix.X_OK) == nil {
			program = file
			break
		}
	}
	if program == "" {
		return nil, fmt.Errorf("find openvpn in %q: %w", programDirs, os.ErrNotExist)
	}
	// Packets, so that a hook that was killed leaves nothing half read.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "hook")
	defer theirs.Close()
	c := &client{hooks: os.NewFile(uintptr(pair[0]), "hooks"), ended: make(chan error, 1)}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, log, log
	cmd.WaitDelay = time.Second // a child of its own that stays must not hold us
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // Pdeathsig is of this thread
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		_ = c.hooks.Close()
		return nil, fmt.Errorf("start %q: %w", program, err)
	}
	c.pid = cmd.Process.Pid
	return c, nil
}
