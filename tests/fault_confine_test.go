package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab"
)

// A sandbox such as a service's SystemCallFilter= forbids sockets: a copy of
// this program that has this in its environment, a netlink protocol and an
// errno, puts itself under such a filter and becomes the program in its arguments.
const envConfine = "VPNGUARD_TEST_CONFINE"

func init() {
	if want := os.Getenv(envConfine); want != "" {
		fmt.Fprintln(os.Stderr, "confine:", confine(want))
		os.Exit(125)
	}
}

func confine(want string) error {
	var protocol, errno uint32
	if _, err := fmt.Sscanf(want, "%d %d", &protocol, &errno); err != nil {
		return err
	}
	runtime.LockOSThread() // a filter is the thread's, until exec makes it the program's
	// Offsets into struct seccomp_data (linux/seccomp.h), low halves, little endian.
	const number, family, third = 0, 16, 32
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	unless := func(value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: skip, K: value}
	}
	filter := []unix.SockFilter{
		load(number), unless(unix.SYS_SOCKET, 5),
		load(family), unless(unix.AF_NETLINK, 3),
		load(third), unless(protocol, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | errno},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return err
	}
	if err := os.Unsetenv(envConfine); err != nil {
		return err
	}
	return syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
}

// confined runs the program where netlink sockets of one protocol are refused.
func (s *faultScene) confined(protocol int, errno syscall.Errno, args ...string) (stdout, stderr string, code int) {
	s.Helper()
	env := []string{envConfine + "=" + strconv.Itoa(protocol) + " " + strconv.Itoa(int(errno))}
	return s.through(env, filepath.Join(lab.WorkDir, ".self"), args...)
}
