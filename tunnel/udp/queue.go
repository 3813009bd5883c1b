package udp

import "golang.org/x/sys/unix"

// Crowded reports whether so much waits in the socket that answers to strangers
// must not be added. Whoever claims addresses that nobody has on a local
// network makes the kernel keep each answer for seconds, while it asks for
// them: without a share of their own they would fill the buffer, and the peers'
// packets would wait.
func (s *Socket) Crowded() bool {
	queued, err := unix.IoctlGetInt(s.fd, unix.SIOCOUTQ)
	if err != nil {
		return false
	}
	room, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	return err == nil && queued > room/4
}
