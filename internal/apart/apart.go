// Package apart runs code in a thread that nothing else uses afterwards, so that
// it may enter other namespaces.
package apart

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs f in a thread that the runtime ends afterwards, for the goroutine never
// lets go of it. Goroutines that f starts run in other threads.
func Do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread never ends, and shows its namespace as that of the
			// whole process. While it is held here another one is taken.
			done <- Do(f)
			runtime.UnlockOSThread()
			return
		}
		done <- f()
	}()
	return <-done
}
