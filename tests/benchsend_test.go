package tests

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func linkIndex(t testing.TB, name string) int {
	t.Helper()
	i, err := net.InterfaceByName(name)
	must(t, err)
	return i.Index
}

// sendMany sends carrier packets on the wire, the longest way through output
// chain and fence, and returns how long that took.
func sendMany(t testing.TB) time.Duration {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Connect(fd, &unix.SockaddrInet4{Port: 1194, Addr: [4]byte{203, 0, 113, 1}}))
	payload := make([]byte, 1200)
	start := time.Now()
	for range int(benchPackets) {
		if _, err := unix.Write(fd, payload); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(start)
}
