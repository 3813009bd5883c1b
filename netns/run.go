package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/confine"
)

// User is whom a program runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32
}

// Program is what is run inside.
type Program struct {
	Args  []string // the first is looked for as a shell does
	Env   []string
	Dir   string // by its path, for /etc and /run are others inside
	User  User
	Umask int
}

// Errors of a program that cannot be started; the exit statuses of shells.
var (
	ErrNotFound      = errors.New("command not found")
	ErrNotExecutable = errors.New("cannot be executed")
)

// Exec turns this process into the program, inside the namespace, so that its
// process id, terminal, signals and exit status are the program's. It returns
// only with an error, and the process is of no other use then.
//
// The program has no capability and cannot get any, so that it has no way into
// another network namespace. It needs root's capabilities itself.
func (p Page) Exec(s *Space, prog Program) error {
	if len(prog.Args) == 0 {
		return errors.New("no command")
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: see below
		done <- p.become(s, prog)
	}()
	return <-done
}

// Become turns this process into a hook of the user's, inside and with all the
// rights that it has. Without the right to go inside, as in a client that has
// dropped its privileges, it becomes it where it is.
func (p Page) Become(s *Space, args, env []string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good, as in Exec
		err := p.enterView()
		if err == nil {
			err = unix.Setns(s.FD(), unix.CLONE_NEWNET)
		}
		if err == nil || errors.Is(err, unix.EPERM) {
			err = syscall.Exec(args[0], args, env)
		}
		done <- fmt.Errorf("run your own hook %q: %w", args[0], err)
	}()
	return <-done
}

// become changes its own thread alone, up to the call of execve, which ends all
// others and makes this one the process.
func (p Page) become(s *Space, prog Program) error {
	if err := plainStreams(); err != nil {
		return err
	}
	if err := p.enterView(); err != nil {
		return err
	}
	if err := unix.Setns(s.FD(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %q: %w", p.Name, err)
	}
	// Whatever the caller had open may lead out, a directory or a socket.
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close inherited descriptors: %w", err)
	}
	if err := confine.Bound(); err != nil {
		return err
	}
	if err := setUser(prog.User); err != nil {
		return err
	}
	if err := confine.Program(); err != nil {
		return err
	}
	// By path and as the user: where the caller is may be covered now.
	if err := unix.Chdir(prog.Dir); err != nil {
		return fmt.Errorf("change to directory %q inside: %w", prog.Dir, err)
	}
	file, err := find(prog.Args[0], prog.Env)
	if err != nil {
		return err
	}
	unix.Umask(prog.Umask)
	err = syscall.Exec(file, prog.Args, prog.Env)
	return fmt.Errorf("%q: %w: %w", prog.Args[0], ErrNotExecutable, err)
}

// plainStreams refuses standard streams that would lead the program out: it can
// go from an open directory to what is hidden from it.
func plainStreams() error {
	for fd := range 3 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return fmt.Errorf("descriptor %d is a directory of the host's", fd)
		}
	}
	return nil
}

// setUser changes the user of this thread only: the package syscall would change
// all, and those have rights to lose still.
func setUser(u User) error {
	groups := u.Groups
	if len(groups) == 0 {
		groups = []uint32{u.GID}
	}
	if err := setGroups(groups); err != nil {
		return fmt.Errorf("set the groups: %w", err)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(u.GID), uintptr(u.GID), uintptr(u.GID)); errno != 0 {
		return fmt.Errorf("become group %d: %w", u.GID, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(u.UID), uintptr(u.UID), uintptr(u.UID)); errno != 0 {
		return fmt.Errorf("become user %d: %w", u.UID, errno)
	}
	return nil
}

// find looks for a program as the user, in the user's PATH.
func find(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	path := "/usr/local/bin:/usr/bin:/bin"
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	denied := error(nil)
	for _, dir := range filepath.SplitList(path) {
		if dir == "" {
			dir = "."
		}
		file := filepath.Join(dir, name)
		if !strings.Contains(file, "/") {
			file = "./" + file
		}
		err := executable(file)
		if err == nil {
			return file, nil
		}
		if errors.Is(err, ErrNotExecutable) {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%q: %w", name, ErrNotFound)
}

func executable(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%q: %w", file, ErrNotFound)
	case err != nil:
		return fmt.Errorf("%q: %w: %w", file, ErrNotExecutable, err)
	case info.IsDir():
		return fmt.Errorf("%q: %w: it is a directory", file, ErrNotExecutable)
	}
	// By the effective ids, which are the user's.
	if err := unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS); err != nil {
		return fmt.Errorf("%q: %w: %w", file, ErrNotExecutable, err)
	}
	return nil
}
