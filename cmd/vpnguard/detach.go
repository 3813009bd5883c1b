package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/confine"
	"github.com/vpnguard/vpnguard/tunnel/keeper"
)

// detach starts the process that ends a trial, in a session of its own, so that
// neither the terminal nor the SSH connection takes it along, and returns when
// signals no longer end it. It counts from the call of begin, or from the end of
// this process if that comes first.
func detach(try string, after time.Duration) (begin func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe, "expire", "--try", try, "--after", after.String())
	cmd.Dir = "/"
	cmd.Env = []string{} // nothing of the caller's session
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(out, make([]byte, len(waiting))); err != nil {
		_ = cmd.Process.Kill()
		return nil, errors.Join(fmt.Errorf("it did not begin to wait: %w", err), cmd.Wait())
	}
	_ = out.Close()
	return func() { _ = hold.Close() }, nil
}

// waiting is what the detached process says.
const waiting = "waiting\n"

// detached tells who detached this process that it waits, and returns when that
// one lets go.
func detached() error {
	if _, err := io.WriteString(os.Stdout, waiting); err != nil {
		return fmt.Errorf("tell who started this process: %w", err)
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// Descriptors of the processes that this program starts of itself.
const (
	fdReady   = 3 // of a supervisor: closed when it has told all, or ended
	fdControl = 3 // of an engine
	fdTUN     = 4
	fdUAPI    = 5
	fdSockets = 3 // of an asker, the first
)

// background runs this program again with args, as a supervisor in a session of
// its own, and returns when it says that all is well or has ended. What it prints
// until then is printed here, and code is how it ended: 0 while it runs. Who
// interrupts this process before that, interrupts the other.
func background(ctx context.Context, args []string) (code int, err error) {
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	ready, tell, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	cmd := exec.Command(exe, args...)
	cmd.Dir = "/"
	cmd.Env = []string{}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{tell}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = tell.Close()
	if err != nil {
		return 0, err
	}
	interrupt := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer interrupt()
	if n, err := ready.Read(make([]byte, 1)); n == 1 {
		return 0, nil
	} else if !errors.Is(err, io.EOF) {
		return 0, err
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) {
		return max(cmd.ProcessState.ExitCode(), exitFailed), nil
	}
	return 0, err
}

// startEngine starts the process that moves a tunnel's packets, as another user
// and with the two capabilities that it needs before it gives all of them up: to
// mark its socket, and to empty its bounding set. uapi may be nil. It ends with
// the thread that calls this.
func startEngine(uid, gid uint32, tunFD int, uapi *net.UnixListener, log io.Writer) (keeper.Child, error) {
	runtime.LockOSThread()
	if err := confine.Bound(unix.CAP_NET_ADMIN, unix.CAP_SETPCAP); err != nil {
		return keeper.Child{}, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return keeper.Child{}, fmt.Errorf("open a socket pair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	defer theirs.Close()
	device, err := unix.FcntlInt(uintptr(tunFD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(pair[0])
		return keeper.Child{}, fmt.Errorf("copy the device's descriptor: %w", err)
	}
	tun := os.NewFile(uintptr(device), "tun")
	defer tun.Close()
	// By this link, for the user may not be able to reach the program's directory.
	cmd := exec.Command("/proc/self/exe", "tunnel", "engine")
	cmd.Args[0] = "vpnguard"
	cmd.Dir = "/"
	cmd.Env = []string{}
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{theirs, tun}
	if uapi != nil {
		file, err := uapi.File()
		if err != nil {
			_ = unix.Close(pair[0])
			return keeper.Child{}, fmt.Errorf("copy the descriptor of the socket of wg: %w", err)
		}
		defer file.Close()
		cmd.ExtraFiles, cmd.Args = append(cmd.ExtraFiles, file), append(cmd.Args, "--uapi")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, Pdeathsig: syscall.SIGKILL,
		Credential:  &syscall.Credential{Uid: uid, Gid: gid, NoSetGroups: !mayChangeGroups()},
		AmbientCaps: []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SETPCAP},
	}
	if err := cmd.Start(); err != nil {
		_ = unix.Close(pair[0])
		return keeper.Child{}, err
	}
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return keeper.Child{}, err
	}
	return keeper.Child{
		PID: cmd.Process.Pid, Control: os.NewFile(uintptr(pair[0]), "control"),
		Kill: func() { _ = cmd.Process.Kill() }, Wait: cmd.Wait,
	}, nil
}

// startAsker runs the process that looks a name up, as the tunnel's user and with
// nothing but sockets to the resolvers. It returns what that printed. The thread is
// the caller's own and loses its bounding set.
func (p tunnelPlan) startAsker(ctx context.Context, name string) ([]byte, error) {
	files, err := p.sockets()
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	if err := confine.Bound(unix.CAP_SETPCAP); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "tunnel", "ask", "--sockets", strconv.Itoa(len(files)), "--", name)
	cmd.Args[0] = "vpnguard"
	cmd.Dir = "/"
	cmd.Env = []string{}
	cmd.ExtraFiles = files
	cmd.WaitDelay = time.Second
	var said string
	cmd.Stderr = &lines{say: func(line string) { said = line }}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setpgid: true, Pdeathsig: syscall.SIGKILL,
		Credential:  &syscall.Credential{Uid: p.uid, Gid: p.gid, NoSetGroups: !mayChangeGroups()},
		AmbientCaps: []uintptr{unix.CAP_SETPCAP},
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(out, maxLine))
	_ = out.Close() // whoever says more is interrupted
	if err = errors.Join(err, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("%w: %.300q", err, said)
	}
	return text, nil
}

// mayChangeGroups is false in a user namespace that an ordinary user made: its
// processes keep their groups.
func mayChangeGroups() bool {
	text, err := os.ReadFile("/proc/self/setgroups")
	return err != nil || string(text) != "deny\n"
}

// hookTime bounds a command of a tunnel's file: the host is closed meanwhile.
const hookTime = time.Minute

// runHook runs a command that the user allowed by name, as root and with nothing
// of the caller's environment.
func runHook(ctx context.Context, command string, log io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = time.Second // a child of its own that stays must not hold us
	return cmd.Run()
}
