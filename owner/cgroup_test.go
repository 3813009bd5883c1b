package owner

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCgroupIDIsTheDirectoryAndItsLevel(t *testing.T) {
	mount := t.TempDir()
	dir := filepath.Join(mount, "system.slice", "openvpn@a.service")
	must(t, os.MkdirAll(dir, 0o755))
	st, err := os.Stat(dir)
	must(t, err)
	id, level, err := CgroupID("/system.slice/openvpn@a.service", mount)
	if err != nil || level != 2 || id != st.Sys().(*syscall.Stat_t).Ino {
		t.Errorf("%d at %d, %v", id, level, err)
	}
	must(t, os.WriteFile(filepath.Join(mount, "file"), nil, 0o644))
	must(t, os.Symlink("system.slice", filepath.Join(mount, "link")))
	for path, want := range map[string]error{
		"/": ErrRootCgroup, "//.": ErrRootCgroup, "/gone": fs.ErrNotExist, "/file": syscall.ENOTDIR, "/link": syscall.ENOTDIR,
		"system.slice": nil, "/../x": nil, "": nil, "/system.slice/../..": nil, "/x\x00": nil, strings.Repeat("/a", 256): nil,
	} {
		_, _, err := CgroupID(path, mount)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", path, err, want)
		}
	}
}

func TestCgroupMountIsFoundWhereverItIs(t *testing.T) {
	const other = "22 1 0:20 / /proc rw,nosuid - proc proc rw\n30 22 0:25 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n"
	for info, want := range map[string][2]string{
		other + "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 master:2 - cgroup2 cgroup2 rw,nsdelegate\n": {"/sys/fs/cgroup", "/"},
		other + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n":                    {"/sys/fs/cgroup/unified", "/"},
		"41 31 0:38 /docker/x /a\\040b rw - cgroup2 cgroup2 rw\n":                                           {"/a b", "/docker/x"},
	} {
		if mount, top, err := cgroupMount(info); err != nil || mount != want[0] || top != want[1] {
			t.Errorf("%q, %q, %v; want %q", mount, top, err, want)
		}
	}
	if _, _, err := cgroupMount(other); !errors.Is(err, ErrNoCgroup) {
		t.Errorf("%v, want ErrNoCgroup", err)
	}
}

func TestUsersAreFoundByNameAndNumber(t *testing.T) {
	for name, want := range map[string]uint32{"root": 0, "0": 0, "4711": 4711, "4294967294": 4294967294} {
		if got, err := LookupUser(name); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", name, got, err, want)
		}
	}
	for _, name := range []string{"", "no such user", "-1", "4294967295", "4294967296"} {
		if got, err := LookupUser(name); err == nil {
			t.Errorf("%q: %d", name, got)
		}
	}
	var unknown user.UnknownUserError
	if _, err := LookupUser("no-such-user"); !errors.As(err, &unknown) {
		t.Errorf("%v, want UnknownUserError", err)
	}
}
