package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	audithost "github.com/vpnguard/vpnguard/audit/host"
	labprobe "github.com/vpnguard/vpnguard/lab/probe"
)

// auditWorld starts the processes that an audit of the host needs: probes as
// another user, the control in another network namespace, and the peer.
type auditWorld struct{ *world }

// self is this program wherever it lies: the directory may be closed to users
// that probes run as.
const self = "/proc/self/exe"

// Shoot makes probes in a process of its own.
func (auditWorld) Shoot(ctx context.Context, uid uint32, orders []labprobe.Order) (shots []audithost.Shot, err error) {
	child := func(attr *syscall.SysProcAttr) error {
		return talk(ctx, []string{"audit", "shoot"}, attr, orders, &shots)
	}
	if uid == 0 {
		return shots, child(nil)
	}
	err = child(&syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}})
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) { // a user namespace that has root alone
		err = child(nil)
	}
	return shots, err
}

// Twin runs the control where nothing is in the way.
func (a auditWorld) Twin(ctx context.Context, j audithost.Job) (o audithost.Observed, err error) {
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	return o, talk(ctx, []string{"audit", "twin"}, attr, j, &o)
}

// talk runs this program, which reads a value from its standard input and
// answers by another one.
func talk(ctx context.Context, args []string, attr *syscall.SysProcAttr, in, out any) error {
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Args[0] = "vpnguard"
	cmd.Dir = "/"
	cmd.Env = []string{"GORACE=atexit_sleep_ms=0"} // a program built with -race sleeps at its end unless told not to
	cmd.Stdin = strings.NewReader(string(data))
	cmd.SysProcAttr = attr
	var message strings.Builder
	cmd.Stderr = &message
	answer, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("run vpnguard %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(message.String()))
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read what vpnguard %s says: %w", strings.Join(args, " "), err)
	}
	return nil
}

// Peer starts the command of a peer, split at spaces and by no shell, or takes
// standard input.
func (a auditWorld) Peer(ctx context.Context, command string) (io.Reader, func(), error) {
	if command == "-" {
		end := func() {}
		if c, ok := a.stdin.(io.Closer); ok {
			end = func() { _ = c.Close() }
		}
		return a.stdin, end, nil
	}
	words := strings.Fields(command)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Stderr = a.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	in, err := cmd.StdinPipe() // SSH and the like end with it
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start %q: %w", command, err)
	}
	return out, func() {
		_ = in.Close()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = out.Close()
		kill := time.AfterFunc(time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
	}, nil
}
