// Command trial tries what a confined process must not do, and tells how the
// kernel answered. It holds its breath at the end until its input ends, so that
// others can look at it.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/confine"
)

// answer is the errno of each attempt, and what was missing.
type answer struct {
	Missing []string
	Tried   map[string]string
	Works   string // what must still work; empty: it does
}

func main() {
	// More threads than the one that confines.
	var hold sync.WaitGroup
	ready := make(chan bool)
	for range 4 {
		hold.Add(1)
		go func() {
			runtime.LockOSThread()
			ready <- true
			hold.Wait()
		}()
		<-ready
	}
	out := answer{Tried: map[string]string{}}
	mode := os.Args[1]
	if mode != "free" {
		missing, err := confine.Apply(confine.Without{Landlock: mode == "seccomp", Seccomp: mode == "landlock"})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		for _, m := range missing {
			out.Missing = append(out.Missing, m.String())
		}
	}
	for name, try := range attempts {
		out.Tried[name] = "allowed"
		// Each in a thread of its own that may have been there before.
		done := make(chan error)
		go func() { done <- try() }()
		if err := <-done; err != nil {
			out.Tried[name] = err.Error()
		}
	}
	out.Works = works()
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func raw(trap uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		r, _, errno := unix.Syscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno != 0 {
			return errno
		}
		_ = r
		return nil
	}
}

func text(s string) uintptr {
	b, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(b))
}

var kept []*byte

var attempts = map[string]func() error{
	"open a file":     func() error { f, err := os.Open("/proc/self/stat"); _ = f; return last(err) },
	"make a file":     func() error { return last(os.WriteFile(os.Args[2]+"/made", nil, 0o666)) },
	"list a file":     func() error { _, err := os.ReadDir("/"); return last(err) },
	"run a program":   raw(unix.SYS_EXECVE, text("/nosuch/program"), 0, 0),
	"fork":            fork,
	"open a socket":   raw(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0),
	"a socket pair":   raw(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0, pair()),
	"ioctl":           raw(unix.SYS_IOCTL, 1, unix.TIOCINQ, pair()),
	"trace":           raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(unix.Getppid())),
	"signal another":  raw(unix.SYS_KILL, uintptr(unix.Getppid()), 0),
	"thread's signal": raw(unix.SYS_TGKILL, uintptr(unix.Getppid()), uintptr(unix.Getppid()), 0),
	"code in memory":  raw(unix.SYS_MMAP, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE, ^uintptr(0)),
	"memory to code":  protect,
	"mark a socket":   raw(unix.SYS_SETSOCKOPT, 3, unix.SOL_SOCKET, unix.SO_PRIORITY, pair(), 4),
	"a namespace":     raw(unix.SYS_UNSHARE, unix.CLONE_FS),
	"io_uring":        raw(unix.SYS_IO_URING_SETUP, 1, 0),
	"a user":          raw(unix.SYS_SETUID, 0),
	"read a process":  raw(unix.SYS_PROCESS_VM_READV, uintptr(unix.Getppid()), 0, 0, 0, 0),
	"memory file":     raw(unix.SYS_MEMFD_CREATE, text("x"), 0),
	"a key":           raw(unix.SYS_KEYCTL, 0, 0),
	"bpf":             raw(unix.SYS_BPF, 99),
}

// last is the innermost error.
func last(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err
		}
		err = u.Unwrap()
	}
}

func pair() uintptr { b := make([]int32, 8); return uintptr(unsafe.Pointer(&b[0])) }

// fork makes a child that ends at once.
func fork() error {
	r, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if r == 0 {
		unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

func protect() error {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	return unix.Mprotect(mem, unix.PROT_READ|unix.PROT_EXEC)
}

// works does what a confined program still has to: memory, goroutines, threads,
// collections, descriptors that it had.
func works() string {
	var all sync.WaitGroup
	for range 20 {
		all.Add(1)
		go func() {
			defer all.Done()
			runtime.LockOSThread()
			b := make([]byte, 1<<20)
			b[len(b)-1] = 1
			runtime.GC()
		}()
	}
	all.Wait()
	if _, err := unix.Write(2, nil); err != nil {
		return "write: " + err.Error()
	}
	return ""
}
