//go:build faultpoints

package fault

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// passed counts how often each point was passed. Changes are made by one
// goroutine, so it needs no lock.
var passed = map[string]int{}

// Point kills the process with SIGKILL if the environment asks for it here.
func Point(name string) {
	passed[name]++
	note(name)
	want, ok := strings.CutPrefix(os.Getenv("VPNGUARD_FAULT"), "kill:")
	if !ok {
		return
	}
	nth := 1
	if point, n, ok := strings.Cut(want, "#"); ok {
		want = point
		nth, _ = strconv.Atoi(n)
	}
	if want == name && passed[name] == nth {
		_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
		select {}
	}
}

// Refuse returns the errno that the environment asks for here, else nil.
func Refuse(name string) error {
	want, ok := strings.CutPrefix(os.Getenv("VPNGUARD_FAULT"), "refuse:")
	if !ok {
		return nil
	}
	point, errno, ok := strings.Cut(want, ":")
	if !ok || point != name {
		return nil
	}
	if errno == "EOPNOTSUPP" { // the table below calls 95 ENOTSUP
		return unix.EOPNOTSUPP
	}
	for e := unix.Errno(1); e < 134; e++ {
		if unix.ErrnoName(e) == errno {
			return e
		}
	}
	panic(fmt.Sprintf("fault: unknown errno %q", errno))
}

func note(name string) {
	path := os.Getenv("VPNGUARD_FAULT_LIST")
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintln(f, name)
}
