package confine

import (
	"fmt"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bound takes all capabilities but some out of the calling thread's bounding set,
// for the programs that it starts: a program that is to be confined has less to
// do then, in fewer threads. The caller has locked its goroutine to the thread.
func Bound(keep ...uintptr) error {
	return bounding(func(c uintptr) error {
		if slices.Contains(keep, c) {
			return nil
		}
		return unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
	})
}

// emptyBoundingSet does so in all threads and keeps none.
func emptyBoundingSet() error {
	return bounding(func(c uintptr) error {
		return every("drop it", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)
	})
}

// bounding calls drop for each capability in the calling thread's bounding set.
func bounding(drop func(c uintptr) error) error {
	for c := uintptr(0); ; c++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0)
		if err != nil {
			return nil // the kernel knows no such capability, and none behind it
		}
		if has == 0 {
			continue
		}
		if err := drop(c); err != nil {
			return fmt.Errorf("take capability %d out of the bounding set: %w", c, err)
		}
	}
}

// dropCapabilities empties the permitted, effective and inheritable sets.
func dropCapabilities() error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	err := every("drop all capabilities", unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(&none[0])), 0)
	runtime.KeepAlive(header)
	runtime.KeepAlive(&none)
	return err
}
