package udp

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// probe keeps the kernel from fragmenting datagrams and from believing what
// routers say of the path: that is judged by whoever knows what was sent. A
// datagram that is longer than the own link takes is refused. What routers say
// goes to the error queue.
func (s *Socket) probe() error {
	set := func(level, option, value int, what string) error {
		if err := unix.SetsockoptInt(s.fd, level, option, value); err != nil {
			return fmt.Errorf("%s of the UDP socket: %w", what, err)
		}
		return nil
	}
	if err := set(unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE, "switch path MTU discovery to probing"); err != nil {
		return err
	}
	if err := set(unix.IPPROTO_IP, unix.IP_RECVERR, 1, "open the error queue"); err != nil || !s.v6 {
		return err
	}
	if err := set(unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE, "switch path MTU discovery of IPv6 to probing"); err != nil {
		return err
	}
	return set(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1, "open the error queue for IPv6")
}

// TooBig says that the path of a datagram takes less.
type TooBig struct {
	To  netip.AddrPort // the datagram's; the port is 0 where the kernel does not say
	MTU int            // of the path, or of the own link; 0: not said
	// Local is the own host's word. All others may be forged: the datagram that
	// they quote tells.
	Local bool
	// Quoted is the datagram's first bytes, as many as were quoted.
	Quoted []byte
}

// Troubled reports whether [Socket.Errors] has something to read since a call
// failed.
func (s *Socket) Troubled() bool { return s.troubled }

// maxErrors are read at once: whoever floods us with them gets no more.
const maxErrors = 16

// Errors reads the error queue. Other errors than TooBig are passed over: an
// unreachable host is tried again, and any of them may be forged.
func (s *Socket) Errors(f func(TooBig)) {
	s.troubled = false
	var control [512]byte
	var quoted [64]byte
	var addr unix.RawSockaddrInet6
	for range maxErrors {
		vec := unix.Iovec{Base: &quoted[0]}
		vec.SetLen(len(quoted))
		hdr := unix.Msghdr{Name: (*byte)(unsafe.Pointer(&addr)), Namelen: unix.SizeofSockaddrInet6, Iov: &vec, Control: &control[0]}
		hdr.SetIovlen(1)
		hdr.SetControllen(len(control))
		n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&hdr)), unix.MSG_ERRQUEUE)
		if errno != 0 {
			return
		}
		if e, ok := extended(control[:min(int(hdr.Controllen), len(control))]); ok && hdr.Namelen > 0 {
			f(TooBig{get(&addr), int(e.Info), e.Origin == unix.SO_EE_ORIGIN_LOCAL, quoted[:n]})
		}
	}
	s.troubled = true // there may be more
}

// extended finds the error of a message, if it is about its size.
func extended(control []byte) (e unix.SockExtendedErr, ok bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return e, false
	}
	for _, m := range messages {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if (v4 || v6) && len(m.Data) >= int(unsafe.Sizeof(e)) {
			e = *(*unix.SockExtendedErr)(unsafe.Pointer(&m.Data[0]))
			if unix.Errno(e.Errno) == unix.EMSGSIZE {
				return e, true
			}
		}
	}
	return e, false
}
