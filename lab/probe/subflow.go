package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// subflows connects by MPTCP (RFC 8684) and keeps the connection for a while.
// Which addresses the kernel joins from is set by `ip mptcp endpoint`.
func (s *shot) subflows(to netip.AddrPort) {
	text, err := os.ReadFile("/proc/sys/net/mptcp/enabled")
	if err != nil {
		s.fail("mptcp", err)
		return
	}
	if strings.TrimSpace(string(text)) != "1" {
		s.fail("mptcp", errors.New("net.mptcp.enabled is 0"))
		return
	}
	fd, err := how{protocol: unix.IPPROTO_MPTCP}.open(to.Addr(), unix.SOCK_STREAM)
	if err != nil {
		s.fail("mptcp", err)
		return
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval((2 * time.Second).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		s.fail("mptcp", err)
		return
	}
	err = unix.Connect(fd, sockaddr(to))
	s.tried(fmt.Sprintf("mptcp to %s", to), err)
	if err != nil {
		return
	}
	// A subflow opens after the first data went both ways.
	_, err = unix.Write(fd, s.payload())
	s.tried("mptcp data", err)
	deadline := time.Now().Add(answerWait)
	buf := make([]byte, 2048)
	for time.Now().Before(deadline) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, int(time.Until(deadline).Milliseconds())+1); err != nil || n == 0 {
			break
		}
		if n, err := unix.Read(fd, buf); err != nil || n == 0 {
			break
		}
	}
}
