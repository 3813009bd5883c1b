package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrTooLong is returned for datagrams that are longer than the own link takes.
// None of a run was sent then. [Socket.Errors] tells how long they may be.
var ErrTooLong = errors.New("longer than the link takes")

// errUnreachable is for an address of a family that this host lacks.
var errUnreachable = errors.New("this host has no IPv6")

// Send sends the datagrams of size bytes each that follow each other in buf;
// the last may be shorter. They leave from the own address from, if that is valid
// and this host still has it, and from the one that its routes prefer otherwise. There are at most [MaxSegments], with at most
// [MaxBytes] bytes; nothing is fragmented. A kernel or driver that cannot segment is remembered, and
// they go one by one. What is not sent is lost, as UDP may.
func (s *Socket) Send(from netip.Addr, to netip.AddrPort, buf []byte, size int) error {
	if len(buf) <= size {
		return s.one(from, to, buf, 0)
	}
	if s.has.Segment {
		err := s.one(from, to, buf, size)
		// EIO: the route's device has no checksum offload; EINVAL: the kernel
		// refuses the run for another reason of its own, or because it is too
		// long, as newer kernels say clearly. The longest alone will tell, and
		// make the kernel say how long it may be.
		if !errors.Is(err, unix.EIO) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, ErrTooLong) {
			return err
		}
		long := s.one(from, to, buf[:size], 0)
		if errors.Is(long, ErrTooLong) {
			return long
		}
		s.has.Segment = errors.Is(err, ErrTooLong)
		buf = buf[size:]
	}
	var first error
	for len(buf) > 0 {
		n := min(size, len(buf))
		if err := s.one(from, to, buf[:n], 0); err != nil && first == nil {
			first = err
		}
		buf = buf[n:]
	}
	return first
}

// sendTimeout is how long a full socket buffer is waited for, in milliseconds:
// the wire drains it in far less.
const sendTimeout = 20

func (s *Socket) one(from netip.Addr, to netip.AddrPort, buf []byte, segment int) error {
	m := &s.send
	length := s.put(&m.addr, to)
	if length == 0 {
		return fmt.Errorf("send to %s: %w", to, errUnreachable)
	}
	m.vec.Base = &buf[0]
	m.vec.SetLen(len(buf))
	m.hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&m.addr)), Namelen: length, Iov: &m.vec}
	m.hdr.SetIovlen(1)
	used := 0
	if segment > 0 {
		used = m.put(used, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
		binary.NativeEndian.PutUint16(m.control[used-unix.CmsgSpace(2)+unix.CmsgLen(0):], uint16(segment))
	}
	if from.IsValid() && from != s.gone && from.Is4() == to.Addr().Unmap().Is4() {
		used = s.leaveFrom(used, from)
	} else {
		from = netip.Addr{}
	}
	if used > 0 {
		m.hdr.Control = &m.control[0]
		m.hdr.SetControllen(used)
	}
	var errno unix.Errno
	for try := range 3 {
		_, _, errno = unix.RawSyscall(unix.SYS_SENDMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&m.hdr)), unix.MSG_NOSIGNAL)
		switch errno {
		case 0:
			return nil
		case unix.EAGAIN:
			if try < 2 {
				_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLOUT}}, sendTimeout)
			}
			continue
		case unix.EINTR:
			continue
		case unix.EINVAL, unix.EADDRNOTAVAIL:
			return s.without(from, to, buf, segment, errno)
		case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EMSGSIZE, unix.EHOSTDOWN, unix.EPROTO, unix.EACCES, unix.ENOPROTOOPT, unix.EOPNOTSUPP, unix.ENONET:
			// Each may be the answer to an earlier datagram; that of the error
			// queue is told once, and this one is still to be sent.
			s.troubled = true
			continue
		default:
			return fmt.Errorf("send to %s: %w", to, errno)
		}
	}
	if errno == unix.ENETUNREACH {
		return s.without(from, to, buf, segment, errno)
	}
	if errno == unix.EMSGSIZE {
		return fmt.Errorf("send %d bytes to %s: %w", len(buf), to, ErrTooLong)
	}
	return fmt.Errorf("send to %s: %w", to, errno)
}
