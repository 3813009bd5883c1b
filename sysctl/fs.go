package sysctl

import (
	"errors"
	"fmt"
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
	data, err := os.ReadFile(k.path(fs.root()))
	if err != nil {
		return 0, fmt.Errorf("read sysctl %q: %w", k, cause(err))
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(data)))
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
	f, err := os.OpenFile(k.path(fs.root()), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return cause(err)
	}
	_, err = f.WriteString(text)
	return cause(errors.Join(err, f.Close()))
}

// writable asks the kernel without writing: it checks when a knob is opened.
func (fs FS) writable(k Knob) error {
	f, err := os.OpenFile(k.path(fs.root()), os.O_WRONLY, 0)
	if err != nil {
		return cause(err)
	}
	return f.Close()
}

// cause drops the path: the message names the knob already.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// refused tells whether the knob is one that this process may not write.
func refused(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS)
}
