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

// landlockParts are what versions of Landlock can refuse; err is why there is none.
func landlockParts(version int, err error) []Part {
	parts := []Part{{"Landlock", "5.13", err}, {"Landlock for TCP", "6.7", nil}, {"Landlock for abstract sockets", "6.12", nil}}
	for i, first := range []int{1, 4, 6} {
		if version < first && parts[i].Err == nil {
			parts[i].Err = fmt.Errorf("this kernel has version %d of Landlock, and %d has it", version, first)
		}
	}
	return parts
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
		// Not signals: each thread enters a domain of its own, and Linux 6.12 to
		// 6.14 then refuses those between threads, which the runtime needs. The
		// engine's uid has no other process to send one to.
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	return attr
}

// landlock refuses everything and allows nothing: no file is opened any more.
func landlock() ([]Part, error) {
	version, err := landlockVersion()
	// EPERM is no answer of Landlock's: a filter around this process gives it.
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		return missing(landlockParts(0, err)), nil
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
	return missing(landlockParts(version, nil)), nil
}
