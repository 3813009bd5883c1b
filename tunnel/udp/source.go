package udp

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Which of the own addresses a peer called comes with each datagram, and answers
// leave from there: a peer behind a strict packet filter hears no other. On a
// socket of both families IPv4 comes and goes as IPv6 does, its addresses mapped.

// askWhere makes the kernel tell.
func (s *Socket) askWhere() error {
	level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
	if s.v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	if err := unix.SetsockoptInt(s.fd, level, option, 1); err != nil {
		return fmt.Errorf("ask which address of ours datagrams were sent to: %w", err)
	}
	return nil
}

// called reads the own address of a datagram from one of its control messages.
// That of a broadcast or multicast is nobody's to answer from.
func called(h *unix.Cmsghdr, data []byte) (at netip.Addr, ok bool) {
	switch {
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		at = netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr).Unmap()
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		at = netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Addr)
	}
	return at, at.IsValid() && !at.IsMulticast() && !at.IsLinkLocalUnicast()
}

// without sends once more and leaves the own address to the routes: that the host
// has the chosen one no more is one of the reasons for errno, and the kernel does
// not say which it is.
func (s *Socket) without(from netip.Addr, to netip.AddrPort, buf []byte, segment int, errno unix.Errno) error {
	if !from.IsValid() {
		return fmt.Errorf("send to %s: %w", to, errno)
	}
	err := s.one(netip.Addr{}, to, buf, segment)
	if err == nil {
		s.gone = from // until something arrives at it
	}
	return err
}

// put adds a control message of length bytes behind used ones, all of them zero.
func (m *message) put(used, level, kind, length int) int {
	clear(m.control[used : used+unix.CmsgSpace(length)])
	h := (*unix.Cmsghdr)(unsafe.Pointer(&m.control[used]))
	h.Level, h.Type = int32(level), int32(kind)
	h.SetLen(unix.CmsgLen(length))
	return used + unix.CmsgSpace(length)
}

// leaveFrom adds the message that chooses the own address.
func (s *Socket) leaveFrom(used int, from netip.Addr) int {
	m := &s.send
	data := used + unix.CmsgLen(0)
	if s.v6 {
		used = m.put(used, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		(*unix.Inet6Pktinfo)(unsafe.Pointer(&m.control[data])).Addr = from.As16() // IPv4 becomes mapped
		return used
	}
	used = m.put(used, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	(*unix.Inet4Pktinfo)(unsafe.Pointer(&m.control[data])).Spec_dst = from.As4()
	return used
}
