package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/apart"
	"github.com/vpnguard/vpnguard/internal/fault"
)

// Space is an open network namespace.
type Space struct {
	file  *os.File
	Inode uint64 // names it: no two that exist at a time have the same
}

// ErrTaken means that the name is that of a namespace which is not ours.
var ErrTaken = errors.New("somebody else's namespace has this name")

// Create makes a namespace and pins it, so that it lives without a process. The
// directory of pins becomes a shared mount of its own, as `ip netns` makes it:
// otherwise a pin would be visible, and removable, in one mount namespace only.
func Create(name Name) (*Space, error) {
	path := filepath.Join(PinDir, name.String())
	if err := sharedDir(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("pin namespace %q: %w", name, ErrTaken)
	}
	if err != nil {
		return nil, fmt.Errorf("pin namespace %q: %w", name, err)
	}
	_ = f.Close()
	fault.Point("netns.pin.before")
	err = apart.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("pin namespace %q: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	fault.Point("netns.pin.after")
	return Open(name)
}

// sharedDir makes the directory of pins what `ip netns` would make of it.
func sharedDir() error {
	if err := os.MkdirAll(PinDir, 0o755); err != nil {
		return fmt.Errorf("make the directory of namespaces: %w", err)
	}
	err := unix.Mount("", PinDir, "", unix.MS_SHARED|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) { // no mount of its own yet
		if err = unix.Mount(PinDir, PinDir, "", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = unix.Mount("", PinDir, "", unix.MS_SHARED|unix.MS_REC, "")
		}
	}
	if err != nil {
		return fmt.Errorf("share the mount %q: %w", PinDir, err)
	}
	return nil
}

// Open opens a pinned namespace.
func Open(name Name) (*Space, error) {
	path := filepath.Join(PinDir, name.String())
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open namespace %q: %w", name, err)
	}
	var at unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Fstatfs(int(f.Fd()), &at), unix.Fstat(int(f.Fd()), &st)); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open namespace %q: %w", name, err)
	}
	if at.Type != unix.NSFS_MAGIC {
		_ = f.Close()
		return nil, fmt.Errorf("open namespace %q: %s pins none: %w", name, path, fs.ErrNotExist)
	}
	return &Space{f, st.Ino}, nil
}

// Unpin takes the name away. The namespace ends with its last process. No pin
// is not an error.
func Unpin(name Name) error {
	path := filepath.Join(PinDir, name.String())
	if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unpin namespace %q: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unpin namespace %q: %w", name, err)
	}
	return nil
}

// Close closes the descriptor; the namespace stays.
func (s *Space) Close() error { return s.file.Close() }

// FD is the namespace's descriptor, which the Space keeps.
func (s *Space) FD() int { return int(s.file.Fd()) }

// Do runs f inside, in a thread that ends with it. Goroutines that f starts
// would run outside.
func (s *Space) Do(f func() error) error {
	return apart.Do(func() error {
		if err := unix.Setns(s.FD(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the namespace: %w", err)
		}
		return f()
	})
}
