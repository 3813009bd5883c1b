package confine

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call that stays allowed. With a condition, one argument must
// have all of the bits of must, none of those of never, or the value of equal.
type call struct {
	number uint32
	arg    int // of the condition
	must   uint32
	never  uint32
	equal  uint32
}

// Offsets in struct seccomp_data: the call's number, its architecture, and the
// low half of its first argument.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

const (
	allow = unix.SECCOMP_RET_ALLOW
	// refuse makes the call fail as one that the process has no right to: it can
	// be seen in a test and told from a crash.
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
)

// program is the filter. Every call has its own end, so that no jump is far.
func program(arch uint32, list []call) []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	jump := func(how uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	end := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	// The other ABIs of one kernel have other numbers; x32's lie beyond these.
	const beyond = 0x40000000
	p := []unix.SockFilter{
		load(offsetArch), jump(unix.BPF_JEQ, arch, 1, 0), end(unix.SECCOMP_RET_KILL_PROCESS),
		load(offsetNumber), jump(unix.BPF_JGE, beyond, 0, 1), end(unix.SECCOMP_RET_KILL_PROCESS),
	}
	for _, c := range list {
		var test unix.SockFilter // goes on to the next step if it holds, else one further
		switch {
		case c.must != 0:
			test = jump(unix.BPF_JSET, c.must, 0, 1)
		case c.never != 0:
			test = jump(unix.BPF_JSET, c.never, 1, 0)
		case c.equal != 0:
			test = jump(unix.BPF_JEQ, c.equal, 0, 1)
		default:
			p = append(p, jump(unix.BPF_JEQ, c.number, 0, 1), end(allow))
			continue
		}
		p = append(p, jump(unix.BPF_JEQ, c.number, 0, 4), load(offsetArgs+8*uint32(c.arg)), test, end(allow), end(refuse))
	}
	return append(p, end(refuse))
}

// seccompKnown reports whether the kernel has filters for all threads at once.
func seccompKnown() error {
	if archAudit == 0 {
		return fmt.Errorf("no list of system calls for %s", runtime.GOARCH)
	}
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, seccompGetActionAvail, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return errno
	}
	return nil
}

const seccompGetActionAvail = 2 // linux/seccomp.h

func seccomp() ([]Part, error) {
	err := seccompKnown()
	switch {
	case archAudit == 0, errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPERM):
		return []Part{{"seccomp", "4.14", err}}, nil
	case err != nil:
		return nil, fmt.Errorf("ask for seccomp: %w", err)
	}
	p := program(archAudit, calls())
	fprog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(p)
	if errno != 0 {
		return nil, fmt.Errorf("filter system calls: %w", errno)
	}
	if thread != 0 {
		return nil, fmt.Errorf("filter system calls: thread %d has a filter of its own", thread)
	}
	return nil, nil
}
