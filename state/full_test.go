package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFullDiskKeepsTheOldJournal(t *testing.T) {
	cmd := childCommand("full", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// fillDisk runs in a mount namespace of its own.
func fillDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		return err
	}
	s := New(filepath.Join(dir, "vpnguard"))
	s.BootID = func() (string, error) { return bootA, nil }
	if err := s.Lock(context.Background()); err != nil {
		return err
	}
	if err := s.Save(sample); err != nil {
		return err
	}
	err := s.Save(body{Device: strings.Repeat("x", 100<<10)})
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("%w, want ENOSPC", err)
	}
	var got body
	if _, err := s.Load(&got); err != nil || got.Device != sample.Device {
		return fmt.Errorf("old journal: %+v, %w", got, err)
	}
	left, err := filepath.Glob(filepath.Join(s.path, tempPrefix+"*"))
	if err != nil || len(left) > 0 {
		return fmt.Errorf("left %q, %w", left, err)
	}
	return nil
}
