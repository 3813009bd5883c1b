package confine

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// landlockVersion is what the kernel has of Landlock: 1 since Linux 5.13.
func landlockVersion() (int, error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, errno
	}
	return int(v), nil
}

// landlockLacks names what a version cannot refuse yet.
func landlockLacks(version int) []Missing {
	var missing []Missing
	for _, part := range []struct {
		version     int
		name, since string
	}{{4, "Landlock for TCP", "6.7"}, {6, "Landlock for signals and abstract sockets", "6.12"}} {
		if version < part.version {
			missing = append(missing, Missing{part.name, part.since, fmt.Errorf("this kernel has version %d of Landlock", version)})
		}
	}
	return missing
}

// landlockAll is everything that a version of Landlock can refuse.
func landlockAll(version int) unix.LandlockRulesetAttr {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_REFER - 1} // version 1: bits 0 to 12
	if version >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr
}

// landlock refuses everything and allows nothing: no file is opened any more.
func landlock() ([]Missing, error) {
	version, err := landlockVersion()
	// EPERM is no answer of Landlock's: a filter around this process gives it.
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		return []Missing{{"Landlock", "5.13", err}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for Landlock: %w", err)
	}
	attr := landlockAll(version)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return nil, fmt.Errorf("make a Landlock ruleset of version %d: %w", version, errno)
	}
	defer unix.Close(int(fd))
	if err := every("enter Landlock", unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); err != nil {
		return nil, err
	}
	return landlockLacks(version), nil
}
