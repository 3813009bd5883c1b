package udp

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Probe tells what this kernel does for a socket. It binds none.
func Probe() (has Offload, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return has, fmt.Errorf("open a UDP socket: %w", err)
	}
	defer unix.Close(fd)
	return offload(fd, All), nil
}

// offload asks for what is wanted and returns what there is.
func offload(fd int, want Offload) (has Offload) {
	if want.Segment {
		_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		has.Segment = err == nil
	}
	if want.Gather {
		has.Gather = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	}
	return has
}
