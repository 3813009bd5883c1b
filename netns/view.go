package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hidden are the names in /run of services that look names up, or send, for
// others from outside: a socket of theirs would lead past the tunnel. A pattern
// is as of path.Match. Of systemd only what systemdShown names is there.
var hidden = []string{
	"nscd", "avahi-daemon", "dbus", "varlink", "systemd", "NetworkManager", "nss*", "sssd", "samba", "winbindd",
	"dnsmasq*", "unbound*", "named", "bind", "kresd", "knot-resolver", "pdns*", "stubby", "dnscrypt*",
	"docker*", "containerd*", "podman", "crio*", "libvirt*", "lxd*", "incus*",
	"netns", "vpnguard", "wireguard", "openvpn*",
}

// systemdShown are the directories of /run/systemd behind which nobody looks
// names up or starts programs.
var systemdShown = []string{"journal", "userdb", "sessions", "users", "seats", "machines", "inhibit"}

// enterView gives the calling thread a mount namespace of its own, in which /etc
// and /run are those of the namespace. The thread must be locked to its
// goroutine, and must not be given back.
//
// Mounts are put over the directories, not over the files in them: the kernel
// takes a mount away whose place somebody else removes or replaces, and files are
// replaced all the time.
func (p Page) enterView() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	// What is mounted later outside shows inside, and not the other way.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("keep mounts inside: %w", err)
	}
	data := "lowerdir=" + p.etcDir() + ":/etc"
	if err := unix.Mount("overlay", "/etc", "overlay", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID, data); err != nil {
		return fmt.Errorf("put the namespace's files over /etc (overlayfs): %w", err)
	}
	if err := showRun(); err != nil {
		return fmt.Errorf("hide the host's resolvers in /run: %w", err)
	}
	return nil
}

// showRun puts a new directory over /run in which everything is that was there,
// but what hidden names. What comes to the host's later is not in it.
func showRun() error {
	fd, err := unix.Open("/run", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	old := "/proc/thread-self/fd/" + strconv.Itoa(fd)
	entries, err := os.ReadDir("/run")
	if err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return err
	}
	for _, e := range entries {
		if concealed(e.Name()) {
			continue
		}
		if err := show(old, e.Name(), e.Type()); err != nil {
			return err
		}
	}
	for _, name := range systemdShown {
		if err := os.MkdirAll("/run/systemd", 0o755); err != nil {
			return err
		}
		if info, err := os.Lstat(filepath.Join(old, "systemd", name)); err == nil && info.IsDir() {
			if err := show(old, "systemd/"+name, fs.ModeDir); err != nil {
				return err
			}
		}
	}
	// A system without the usual link has a second way there.
	if info, err := os.Lstat("/var/run"); err == nil && info.IsDir() {
		if err := unix.Mount("/run", "/var/run", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	return nil
}

func concealed(name string) bool {
	for _, pattern := range hidden {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// show binds one entry of the old /run to its place in the new one. One that
// vanishes meanwhile is not there.
func show(old, name string, kind fs.FileMode) error {
	from, to := filepath.Join(old, name), filepath.Join("/run", name)
	switch {
	case kind&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return nil
		}
		return os.Symlink(target, to)
	case kind.IsDir():
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
	default:
		if err := os.WriteFile(to, nil, 0o600); err != nil {
			return err
		}
	}
	err := unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("show %q: %w", strings.TrimPrefix(to, "/"), err)
	}
	return nil
}
