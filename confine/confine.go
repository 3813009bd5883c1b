// Package confine takes rights away from this process, from all its threads and
// for good: capabilities, new privileges, core dumps, the file system (Landlock)
// and all system calls but those that a program needs which only moves packets
// between descriptors that it has (seccomp).
package confine

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Without names parts that are not to be used although the kernel has them, so
// that each can be tried alone. The zero value uses all.
type Without struct{ Landlock, Seccomp bool }

// Part is one of the means of confinement that not every kernel has.
type Part struct {
	Name  string
	Since string // the kernel that has it
	Err   error  // why this one has not; nil: it has
}

func (p Part) String() string {
	if p.Err == nil {
		return fmt.Sprintf("%s (since Linux %s)", p.Name, p.Since)
	}
	return fmt.Sprintf("%s (since Linux %s): %v", p.Name, p.Since, p.Err)
}

// Apply confines this process. The caller has switched its user before and has
// CAP_SETPCAP, which is needed to empty the bounding set; no capability is left
// afterwards. Landlock and seccomp are left out where the kernel lacks them; any
// other failure is an error, and the process then has lost some of its rights.
// It works in programs without cgo only: all threads must be reached.
func Apply(w Without) (lacks []Part, err error) {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return nil, fmt.Errorf("forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("forbid others to look into this process: %w", err)
	}
	if err := every("empty the ambient set of capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return nil, err
	}
	if err := emptyBoundingSet(); err != nil {
		return nil, err
	}
	if err := every("give up new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return nil, err
	}
	if !w.Landlock {
		m, err := landlock()
		if err != nil {
			return nil, err
		}
		lacks = append(lacks, m...)
	}
	if err := dropCapabilities(); err != nil {
		return nil, err
	}
	if !w.Seccomp {
		m, err := seccomp()
		if err != nil {
			return nil, err
		}
		lacks = append(lacks, m...)
	}
	return lacks, nil
}

// Probe tells of each part whether this kernel has it. It changes nothing.
func Probe() []Part {
	parts := []Part{{"seccomp", "4.14", seccompKnown()}}
	version, err := landlockVersion()
	if err != nil {
		version = 0
	}
	return append(parts, landlockParts(version, err)...)
}

// missing leaves out what the kernel has.
func missing(parts []Part) (out []Part) {
	for _, p := range parts {
		if p.Err != nil {
			out = append(out, p)
		}
	}
	return out
}

// every makes a system call in each thread.
func every(what string, trap, a1, a2, a3 uintptr) error {
	// prctl wants its unused arguments to be zero.
	if _, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0); errno != 0 {
		return fmt.Errorf("%s: %w", what, refusal(errno))
	}
	return nil
}

// refusal says what the runtime means by ENOTSUP: threads that are not its own.
func refusal(errno syscall.Errno) error {
	if errno != syscall.ENOTSUP {
		return errno
	}
	return fmt.Errorf("this program was built with cgo, whose threads cannot all be confined; build it with CGO_ENABLED=0, as `make build` does: %w", errno)
}
