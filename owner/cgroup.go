package owner

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNoCgroup says that no cgroup v2 hierarchy is mounted.
var ErrNoCgroup = errors.New("no cgroup2 file system is mounted")

// ErrRootCgroup says that a cgroup is the root of the hierarchy: every process
// is in it, so it names no owner.
var ErrRootCgroup = errors.New("the root cgroup holds every process")

// maxLevel is the kernel's limit for a socket match.
const maxLevel = 255

// CgroupID returns the id and the level that the firewall's "socket cgroupv2
// level N" compares. path is as in /proc/PID/cgroup; mount is where cgroup2 is
// mounted, "" to look it up in /proc/self/mountinfo (/sys/fs/cgroup, or
// /sys/fs/cgroup/unified on a host that still has version 1 as well).
//
// The id is of the directory that is there now: a restarted unit gets a new one.
// Levels count from the root of the caller's cgroup namespace from Linux 6.12
// on, from that of the whole host before; outside a container these are one.
// 64-bit systems only: elsewhere an inode number is half an id.
//
// Errors: [ErrNoCgroup], [ErrRootCgroup], os.ErrNotExist for a group that is gone.
func CgroupID(path, mount string) (id uint64, level int, err error) {
	fail := func(err error) (uint64, int, error) {
		return 0, 0, fmt.Errorf("find cgroup %q: %w", path, err)
	}
	clean, level, err := checkCgroup(path)
	if err != nil {
		return fail(err)
	}
	top := "/"
	if mount == "" {
		info, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return fail(err)
		}
		if mount, top, err = cgroupMount(string(info)); err != nil {
			return fail(err)
		}
	}
	below, ok := strings.CutPrefix(clean, strings.TrimSuffix(top, "/")+"/")
	if !ok {
		return fail(fmt.Errorf("not below %q, which is what is mounted: %w", top, os.ErrNotExist))
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(mount, below), &st); err != nil {
		return fail(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fail(unix.ENOTDIR)
	}
	return st.Ino, level, nil
}

func checkCgroup(name string) (clean string, level int, err error) {
	if !path.IsAbs(name) || strings.Contains(name, "\x00") {
		return "", 0, errors.New("not an absolute path")
	}
	for _, part := range strings.Split(name, "/") {
		if part == ".." { // a process outside of our cgroup namespace
			return "", 0, errors.New("outside of the cgroup namespace")
		}
	}
	clean = path.Clean(name)
	if clean == "/" {
		return "", 0, ErrRootCgroup
	}
	if level = strings.Count(clean, "/"); level > maxLevel {
		return "", 0, fmt.Errorf("%d levels, the limit is %d", level, maxLevel)
	}
	return clean, level, nil
}

// cgroupMount returns the first mount of cgroup2 and which directory of the
// hierarchy is mounted there (proc_pid_mountinfo(5)).
func cgroupMount(info string) (mount, top string, err error) {
	for line := range strings.Lines(info) {
		// The number of optional fields before the dash varies.
		head, tail, ok := strings.Cut(line, " - ")
		field := strings.Fields(head)
		if !ok || len(field) < 6 || !strings.HasPrefix(tail, "cgroup2 ") {
			continue
		}
		return unescapeMount(field[4]), unescapeMount(field[3]), nil
	}
	return "", "", ErrNoCgroup
}

func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
