package udp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Buffer is how large what is received at once can be.
const Buffer = 65536

// Receive takes one datagram, or a run of size bytes each from one address, the
// last of which may be shorter. at is the own address that they were sent to. ok is false when nothing waits. Errors that an
// earlier datagram caused are passed over.
func (s *Socket) Receive(buf []byte) (from netip.AddrPort, at netip.Addr, n, size int, ok bool, err error) {
	m := &s.recv
	for range 16 {
		m.vec.Base = &buf[0]
		m.vec.SetLen(len(buf))
		m.hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&m.addr)), Namelen: unix.SizeofSockaddrInet6, Iov: &m.vec, Control: &m.control[0]}
		m.hdr.SetIovlen(1)
		m.hdr.SetControllen(len(m.control))
		r, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&m.hdr)), 0)
		switch errno {
		case 0:
		case unix.EAGAIN:
			return from, at, 0, 0, false, nil
		case unix.EINTR:
			continue
		case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EMSGSIZE, unix.ENETDOWN, unix.EHOSTDOWN, unix.EPROTO, unix.ECONNRESET, unix.EACCES, unix.ENOPROTOOPT, unix.EOPNOTSUPP, unix.ENONET:
			// What ICMP says becomes one of these; anybody can say it.
			s.troubled = true
			continue
		default:
			return from, at, 0, 0, false, fmt.Errorf("receive from the UDP socket: %w", errno)
		}
		if m.hdr.Flags&unix.MSG_TRUNC != 0 || r == 0 {
			continue
		}
		size, at = m.read(int(r))
		if at == s.gone {
			s.gone = netip.Addr{} // it is back
		}
		return get(&m.addr), at, int(r), size, true, nil
	}
	return from, at, 0, 0, false, nil
}

// read finds the size of one datagram of a run, which is that of all if there is
// one only, and the own address.
func (m *message) read(all int) (size int, at netip.Addr) {
	size = all
	control := m.control[:min(int(m.hdr.Controllen), len(m.control))]
	for len(control) >= unix.CmsgLen(0) {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		length := int(h.Len)
		if length < unix.CmsgLen(0) || length > len(control) {
			break
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && length >= unix.CmsgLen(4) {
			if one := int(binary.NativeEndian.Uint32(control[unix.CmsgLen(0):])); one > 0 {
				size = min(one, all)
			}
		}
		if a, ok := called(h, control[unix.CmsgLen(0):length]); ok {
			at = a
		}
		next := unix.CmsgSpace(length - unix.CmsgLen(0))
		if next > len(control) {
			break
		}
		control = control[next:]
	}
	return size, at
}
