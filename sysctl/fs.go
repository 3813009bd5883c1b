package sysctl

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/fault"
)

// FS is the tree of knobs.
type FS struct {
	Root string // "" is /proc/sys
}

func (fs FS) root() string {
	if fs.Root == "" {
		return "/proc/sys"
	}
	return fs.Root
}

// Read returns the knob's value. errors.Is tells os.ErrNotExist: the interface,
// or the protocol in this kernel, is not there.
func (fs FS) Read(k Knob) (int, error) {
	if k.key == nil {
		return 0, errZeroKnob
	}
	text, err := get(k.path(fs.root()))
	if err != nil {
		return 0, fmt.Errorf("read sysctl %q: %w", k, err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("read sysctl %q: %w", k, err)
	}
	return v, nil
}

// Write sets the knob, without reading back. A value outside the knob's range is
// refused. After an error from the kernel the knob has its old value.
func (fs FS) Write(k Knob, value int) error {
	if err := k.check(value); err != nil {
		return err
	}
	return fs.write(k, value)
}

// write takes any value: what was found must be restored, however odd.
func (fs FS) write(k Knob, value int) error {
	fault.Point("sysctl.write.before")
	err := fault.Refuse("sysctl.write")
	if err == nil {
		err = fs.put(k, strconv.Itoa(value)+"\n")
	}
	if err != nil {
		return fmt.Errorf("write %d to sysctl %q: %w", value, k, err)
	}
	fault.Point("sysctl.write.after")
	return nil
}

func (fs FS) put(k Knob, text string) error {
	fd, err := open(k.path(fs.root()), unix.O_WRONLY|unix.O_TRUNC)
	if err != nil {
		return err
	}
	n, err := unix.Write(fd, []byte(text))
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	return errors.Join(err, unix.Close(fd))
}

// writable asks the kernel without writing: it checks when a knob is opened.
func (fs FS) writable(k Knob) error {
	fd, err := open(k.path(fs.root()), unix.O_WRONLY)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// Knobs are opened without the runtime's poller, which costs several times
// what the knob does: a hook turns dozens of them while its client stands still.

func open(path string, flags int) (fd int, err error) {
	for {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func get(path string) (string, error) {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	var buf [64]byte // a decimal int and a newline
	n, err := unix.Read(fd, buf[:])
	return string(buf[:max(n, 0)]), errors.Join(err, unix.Close(fd))
}

// refused tells whether the knob is one that this process may not write.
func refused(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS)
}
