package lab

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// etcKept is what programs inside need of /etc. Everything else, secrets above
// all, stays outside.
var etcKept = []string{
	"passwd", "group", "nsswitch.conf", "services", "protocols", "ethertypes", "networks", "rpc",
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl/openssl.cnf", "alternatives", "iproute2",
	"hosts", "host.conf", "gai.conf", "hostname", "resolv.conf", "localtime", "timezone",
	"os-release", "machine-id", "login.defs", "security", "pam.d", "libnl-3", "gss", "dbus-1", "ppp",
}

func prepareSandbox() error {
	if err := unix.Sethostname([]byte("lab")); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc for the new pid namespace: %w", err)
	}
	if err := privateDir("/run"); err != nil {
		return err
	}
	if err := os.Mkdir(WorkDir, 0o777); err != nil {
		return fmt.Errorf("make the work directory: %w", err)
	}
	if err := os.Chmod(WorkDir, 0o777|os.ModeSticky); err != nil {
		return fmt.Errorf("open the work directory to every uid: %w", err)
	}
	if err := copySelf(); err != nil {
		return fmt.Errorf("copy this program to %q: %w", SelfExe, err)
	}
	if err := privateDir("/var/lib"); err != nil {
		return err
	}
	if err := privateEtc(etcKept); err != nil {
		return err
	}
	return loopbackUp()
}

// copySelf copies, because a bind mount of /proc/self/exe is refused: the link
// leads to a mount of the namespace that was left.
func copySelf() error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(SelfExe, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		return errors.Join(err, to.Close())
	}
	return to.Close()
}

// prepareNode gives the holder's mount namespace fresh directories; only the
// work directory remains common to all.
func prepareNode(hostname string) error {
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("set the host name %q: %w", hostname, err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := keepAcross(WorkDir, unix.MS_BIND|unix.MS_REC, func() error { return privateDir("/run") }); err != nil {
		return err
	}
	if err := privateDir("/var/lib"); err != nil {
		return err
	}
	if err := privateEtc([]string{"."}); err != nil {
		return err
	}
	// sysfs shows the interfaces of the namespace that mounted it. A container
	// that hides parts of its own /sys may refuse; nothing here depends on it.
	_ = keepAcross("/sys/fs/cgroup", unix.MS_BIND|unix.MS_REC, func() error {
		return unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	})
	return loopbackUp()
}

// keepAcross runs mount, which hides dir, and brings dir back on top of it.
func keepAcross(dir string, flags uintptr, mount func() error) error {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %q: %w", dir, err)
	}
	defer unix.Close(fd)
	if err := mount(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make %q again: %w", dir, err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), dir, "", flags, ""); err != nil {
		return fmt.Errorf("bind %q back: %w", dir, err)
	}
	return nil
}

func privateDir(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount a private %q: %w", dir, err)
	}
	return nil
}

// privateEtc copies what is kept to a tmpfs and puts that over /etc.
func privateEtc(keep []string) error {
	const staging = "/run/.etc"
	if err := os.Mkdir(staging, 0o755); err != nil {
		return fmt.Errorf("make %q: %w", staging, err)
	}
	if err := privateDir(staging); err != nil {
		return err
	}
	for _, name := range keep {
		if err := copyTree(filepath.Join("/etc", name), filepath.Join(staging, name)); err != nil {
			return fmt.Errorf("copy /etc/%s: %w", name, err)
		}
	}
	if err := unix.Mount(staging, "/etc", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("put a private /etc in place: %w", err)
	}
	return os.Remove(staging)
}

// copyTree leaves out what the caller may not read and what does not exist: an
// ordinary user has to live without those files outside the lab too.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			if path != "/etc/resolv.conf" {
				return os.Symlink(link, target)
			}
			// Where it points to lies under /run, which is gone.
			fallthrough
		case entry.Type().IsRegular():
			text, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			return os.WriteFile(target, text, info.Mode().Perm()|0o600)
		}
		return nil
	})
}

func owner(info fs.FileInfo) string {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", stat.Uid, stat.Gid)
	}
	return "?"
}
