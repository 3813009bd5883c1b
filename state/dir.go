package state

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/fault"
)

// directory is the store's directory, held open: what is checked is what is
// used, whatever happens to the path meanwhile.
type directory struct {
	f    *os.File
	path string
}

func openDir(path string) (*directory, error) {
	// Without Clean a trailing slash would make O_NOFOLLOW follow.
	path = filepath.Clean(path)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, ErrNone
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return nil, &UnsafeError{Path: path, Why: "not a directory"}
	case err != nil:
		return nil, opErr("open directory", path, err)
	}
	d := &directory{f: os.NewFile(uintptr(fd), path), path: path}
	if err := d.check(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// createDir is openDir that makes the directory if it is missing.
func createDir(path string) (*directory, error) {
	err := unix.Mkdir(filepath.Clean(path), 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, opErr("create directory", path, err)
	}
	created := err == nil
	d, err := openDir(path)
	if err != nil {
		return nil, err
	}
	if created {
		// The umask must not keep an unprivileged hook from reading.
		if err := d.f.Chmod(0o755); err != nil {
			d.close()
			return nil, opErr("set mode of directory", path, err)
		}
	}
	return d, nil
}

func (d *directory) check() error {
	var st unix.Stat_t
	if err := unix.Fstat(d.fd(), &st); err != nil {
		return opErr("examine directory", d.path, err)
	}
	if st.Mode&0o022 != 0 {
		return &UnsafeError{Path: d.path, Why: fmt.Sprintf("writable by others (mode %04o)", st.Mode&0o7777)}
	}
	if st.Uid != 0 && st.Uid != uint32(os.Geteuid()) {
		return &UnsafeError{Path: d.path, Why: fmt.Sprintf("belongs to uid %d", st.Uid)}
	}
	return nil
}

func (d *directory) fd() int { return int(d.f.Fd()) }
func (d *directory) close()  { _ = d.f.Close() }

func (d *directory) join(name string) string { return filepath.Join(d.path, name) }

// read returns at most MaxSize+1 bytes: enough to know that a file is too large.
func (d *directory) read(name string) ([]byte, error) {
	// O_NONBLOCK: a FIFO in the file's place must not hang a hook.
	f, err := d.open(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, ErrNone
	case err != nil:
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, opErr("read", d.join(name), err)
	}
	return data, nil
}

// open opens a regular file and nothing else.
func (d *directory) open(name string, flags int, mode uint32) (*os.File, error) {
	fd, err := unix.Openat(d.fd(), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, &UnsafeError{Path: d.join(name), Why: "a symbolic link"}
	case err != nil:
		return nil, opErr("open", d.join(name), err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, opErr("examine", d.join(name), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return nil, &UnsafeError{Path: d.join(name), Why: "not a regular file"}
	}
	return os.NewFile(uintptr(fd), d.join(name)), nil
}

// replace puts data in the place of name: temp file, sync, rename, sync. The
// lock is held, so every temp file found is of a process that died.
func (d *directory) replace(name string, data []byte) error {
	if err := d.sweep(); err != nil {
		return err
	}
	temp := tempPrefix + strconv.Itoa(os.Getpid())
	step("start")
	if err := d.write(temp, data); err != nil {
		_ = unix.Unlinkat(d.fd(), temp, 0)
		return err
	}
	fault.Point("state.save.before-rename")
	step("before-rename")
	if err := unix.Renameat(d.fd(), temp, d.fd(), name); err != nil {
		_ = unix.Unlinkat(d.fd(), temp, 0)
		return opErr("replace", d.join(name), err)
	}
	fault.Point("state.save.after-rename")
	step("after-rename")
	return d.sync()
}

func (d *directory) write(temp string, data []byte) error {
	f, err := d.open(temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	step("created")
	// The umask must not hide the journal from an unprivileged hook.
	if err := f.Chmod(0o644); err != nil {
		return opErr("set mode of", d.join(temp), err)
	}
	half := len(data) / 2
	for _, part := range [][]byte{data[:half], data[half:]} {
		if _, err := f.Write(part); err != nil {
			return opErr("write", d.join(temp), err)
		}
		step("written")
	}
	if err := f.Sync(); err != nil {
		return opErr("sync", d.join(temp), err)
	}
	step("synced")
	if err := f.Close(); err != nil {
		return opErr("close", d.join(temp), err)
	}
	return nil
}

func (d *directory) sync() error {
	if err := d.f.Sync(); err != nil {
		return opErr("sync directory", d.path, err)
	}
	step("directory-synced")
	return nil
}

func (d *directory) sweep() error {
	if _, err := d.f.Seek(0, io.SeekStart); err != nil {
		return opErr("list", d.path, err)
	}
	names, err := d.f.Readdirnames(-1)
	if err != nil {
		return opErr("list", d.path, err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, tempPrefix) {
			continue
		}
		if err := unix.Unlinkat(d.fd(), name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return opErr("remove", d.join(name), err)
		}
	}
	return nil
}

func (d *directory) remove(name string) error {
	fault.Point("state.remove.before")
	err := unix.Unlinkat(d.fd(), name, 0)
	fault.Point("state.remove.after")
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return opErr("remove", d.join(name), err)
	}
	return d.sync()
}

func (d *directory) moveAside(name string) (string, error) {
	for n := 1; n <= maxQuarantine; n++ {
		to := quarantinePrefix + strconv.Itoa(n)
		err := unix.Renameat2(d.fd(), name, d.fd(), to, unix.RENAME_NOREPLACE)
		switch {
		case err == nil:
			return d.join(to), d.sync()
		case errors.Is(err, unix.ENOENT):
			return "", ErrNone
		case !errors.Is(err, unix.EEXIST):
			return "", opErr("move aside", d.join(name), err)
		}
	}
	return "", opErr("move aside", d.join(name), fmt.Errorf("%d damaged journals kept already", maxQuarantine))
}

// testOnlyStep is called between any two changes on disk.
var testOnlyStep func(name string)

func step(name string) {
	if testOnlyStep != nil {
		testOnlyStep(name)
	}
}
