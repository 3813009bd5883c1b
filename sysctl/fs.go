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
	fd, err := open(k.path(fs.root()), unix.O_RDONLY)
	if err != nil {
		return 0, fmt.Errorf("read sysctl %q: %w", k, err)
	}
	o := opened{knob: k, fd: fd}
	defer o.close()
	return o.read()
}

// Write sets the knob, without reading back. A value outside the knob's range is
// refused. After an error from the kernel the knob has its old value.
func (fs FS) Write(k Knob, value int) error {
	if err := k.check(value); err != nil {
		return err
	}
	fd, err := open(k.path(fs.root()), unix.O_WRONLY|unix.O_TRUNC)
	if err != nil {
		return fmt.Errorf("write %d to sysctl %q: %w", value, k, err)
	}
	o := opened{knob: k, fd: fd}
	return errors.Join(o.write(value), o.close())
}

// opened is a knob that is looked at and turned without being found anew. Each
// look and each turn begins at the start of its file, as the kernel wants it.
type opened struct {
	knob    Knob
	fd      int
	refused error // why it can only be read
}

// open opens the knob for reading and writing, or for reading where writing is
// refused.
func (fs FS) open(k Knob) (o opened, err error) {
	o.knob = k
	path := k.path(fs.root())
	o.fd, err = open(path, unix.O_RDWR)
	if refused(err) {
		o.refused = err
		o.fd, err = open(path, unix.O_RDONLY)
	}
	if err != nil {
		return o, fmt.Errorf("open sysctl %q: %w", k, err)
	}
	return o, nil
}

func (o opened) close() error { return unix.Close(o.fd) }

func (o opened) read() (int, error) {
	var buf [64]byte // a decimal int and a newline
	n, err := unix.Pread(o.fd, buf[:], 0)
	if err != nil {
		return 0, fmt.Errorf("read sysctl %q: %w", o.knob, err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return 0, fmt.Errorf("read sysctl %q: %w", o.knob, err)
	}
	return v, nil
}

// write takes any value: what was found must be restored, however odd.
func (o opened) write(value int) error {
	fault.Point("sysctl.write.before")
	err := errors.Join(o.refused, fault.Refuse("sysctl.write"))
	if err == nil {
		text := strconv.Itoa(value) + "\n"
		var n int
		if n, err = unix.Pwrite(o.fd, []byte(text), 0); err == nil && n < len(text) {
			err = io.ErrShortWrite
		}
	}
	if err != nil {
		return fmt.Errorf("write %d to sysctl %q: %w", value, o.knob, err)
	}
	fault.Point("sysctl.write.after")
	return nil
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

// refused tells whether the knob is one that this process may not write.
func refused(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS)
}
