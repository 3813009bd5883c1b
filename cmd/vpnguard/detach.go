package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
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
