//go:build amd64 || arm64

package confine

import "golang.org/x/sys/unix"

// calls are what the Go runtime and a mover of packets need; those that every
// packet takes come first. What opens, connects, binds, starts a program or
// changes a descriptor is not among them.
func calls() []call {
	var list []call
	for _, n := range append([]uint32{
		unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_READ, unix.SYS_WRITEV, unix.SYS_PPOLL, unix.SYS_CLOCK_GETTIME,
		unix.SYS_FUTEX, unix.SYS_WRITE, unix.SYS_EPOLL_PWAIT, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD,
		unix.SYS_GETRANDOM, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2, unix.SYS_CLOSE,
		unix.SYS_GETSOCKNAME, unix.SYS_GETSOCKOPT, unix.SYS_ACCEPT4,
		unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN,
		unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_SCHED_GETAFFINITY,
		unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
	}, archCalls...) {
		list = append(list, call{number: n})
	}
	return append(list,
		call{number: unix.SYS_MMAP, arg: 2, never: unix.PROT_EXEC},
		call{number: unix.SYS_MPROTECT, arg: 2, never: unix.PROT_EXEC},
		call{number: unix.SYS_CLONE, arg: 0, must: unix.CLONE_THREAD},
		call{number: unix.SYS_TGKILL, arg: 0, equal: uint32(unix.Getpid())},
	)
}
