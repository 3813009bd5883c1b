package tun

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Probe tells what this kernel does for a TUN device. It makes one in a network
// namespace of its own, which vanishes with it: the host's network is not
// touched. It needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
func Probe() (has Offload, err error) {
	name, err := endpoint.ParseIfName("probe")
	if err != nil {
		return has, err
	}
	err = apart(func() error {
		d, err := Open(name, All)
		if err != nil {
			return err
		}
		has = d.Has()
		return d.Close()
	})
	return has, err
}

// apart runs f in a network namespace of its own, on a thread that ends with it.
func apart(f func() error) error {
	done := make(chan error, 1)
	go func() {
		// It stays locked: the runtime ends the thread with the goroutine.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread never ends, and shows its namespace as that of the
			// whole process. While it is held here another one is taken.
			done <- apart(f)
			runtime.UnlockOSThread()
			return
		}
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("make a network namespace to probe in: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}
