package confine

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Program takes from the calling thread, for any program that it becomes, all
// capabilities and the way to others, the change of namespaces by a descriptor,
// and the look into programs that run elsewhere. All else stays as it is: a
// browser's own sandbox of user namespaces works. The caller has emptied the
// bounding set (see [Bound]) and has locked its goroutine to the thread.
//
// Without Landlock, or with a version before 2 (Linux 5.19), the look into other
// programs of the same user remains; without seccomp, what capabilities alone
// refuse.
func Program() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("empty the ambient set of capabilities: %w", err)
	}
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(header, &none[0]); err != nil {
		return fmt.Errorf("drop all capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up new privileges: %w", err)
	}
	if err := landlockProgram(); err != nil {
		return err
	}
	return seccompProgram()
}

// landlockProgram enters a domain that refuses next to nothing: the kernel lets
// nobody in a domain trace, read or open by /proc what runs outside of it.
func landlockProgram() error {
	version, err := landlockVersion()
	if err != nil || version < 2 {
		return nil
	}
	var attr unix.LandlockRulesetAttr
	if version >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	} else {
		// Version 2 to 5 have no domain without files. Renames between
		// directories are refused in any such domain unless they are allowed.
		attr.Handled_access_fs = unix.LANDLOCK_ACCESS_FS_REFER
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("make a Landlock ruleset of version %d: %w", version, errno)
	}
	defer unix.Close(int(fd))
	if version < 6 {
		root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open the root directory: %w", err)
		}
		defer unix.Close(root)
		beneath := unix.LandlockPathBeneathAttr{Allowed_access: unix.LANDLOCK_ACCESS_FS_REFER, Parent_fd: int32(root)}
		if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, fd, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 {
			return fmt.Errorf("allow renames in Landlock: %w", errno)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("enter Landlock: %w", errno)
	}
	return nil
}

// seccompProgram refuses setns, which needs capabilities that the program lacks, so
// that this is the second line, and to put input into a terminal as if it were
// typed: the caller's shell would run it outside (CVE-2017-5226). Calls of the
// architecture's other ABIs, which number them otherwise, are as they were.
func seccompProgram() error {
	if archAudit == 0 {
		return nil
	}
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	equal := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	p := []unix.SockFilter{
		load(offsetArch), equal(archAudit, 0, 6),
		load(offsetNumber), equal(unix.SYS_SETNS, 5, 0), equal(unix.SYS_IOCTL, 0, 3),
		load(offsetArgs + 8), equal(unix.TIOCSTI, 2, 0), equal(unix.TIOCLINUX, 1, 0),
		{Code: unix.BPF_RET | unix.BPF_K, K: allow},
		{Code: unix.BPF_RET | unix.BPF_K, K: refuse},
	}
	fprog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(p)
	if errno != 0 && !errors.Is(errno, unix.ENOSYS) && !errors.Is(errno, unix.EINVAL) {
		return fmt.Errorf("filter system calls: %w", errno)
	}
	return nil
}
