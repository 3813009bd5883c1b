package main

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

// detach starts the process that ends the trial: in a session of its own, so
// that neither the terminal nor the SSH connection takes it along.
func detach(try string, after time.Duration) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(exe, "expire", "--try", try, "--after", after.String())
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
