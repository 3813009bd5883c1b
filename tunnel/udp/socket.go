// Package udp is the tunnel's one unconnected socket, for both families. It
// sends and receives runs of datagrams by UDP_SEGMENT and UDP_GRO where the
// kernel has them, and one by one where not. Nothing in it blocks.
package udp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offload is what the kernel does for us.
type Offload struct {
	Segment bool // sends runs; requires at least Linux 4.18
	Gather  bool // receives runs; requires at least Linux 5.0
}

// All is what a current kernel has.
var All = Offload{Segment: true, Gather: true}

const (
	// MaxSegments of one send: what every kernel with UDP_SEGMENT takes.
	MaxSegments = 64
	// MaxBytes of one send: the longest datagram of IPv4.
	MaxBytes = 65507
	// bufferSize is asked for in both directions. A sender that fills a long
	// path needs megabytes; the kernel takes less where its limit is lower.
	bufferSize = 7 << 20
)

// Socket is the socket. It is not safe for concurrent use: its storage is used
// by every call, so that none allocates.
type Socket struct {
	fd   int
	v6   bool // AF_INET6 for both families; else AF_INET
	has  Offload
	send message
	recv message
	// troubled says that a call failed with what may lie in the error queue.
	troubled bool
	// gone is an address that datagrams were to leave from and that this host has
	// not any more; not valid: none.
	gone netip.Addr
}

// message is the storage of one sendmsg or recvmsg.
type message struct {
	hdr     unix.Msghdr
	control [96]byte // aligned as hdr is: the kernel's structures lie in it
	vec     unix.Iovec
	addr    unix.RawSockaddrInet6 // large enough for both
}

// Listen opens the socket on a port (0: any) with a firewall mark (0: none),
// which needs CAP_NET_ADMIN.
func Listen(port uint16, mark uint32, want Offload) (*Socket, error) {
	s := &Socket{v6: true}
	var err error
	s.fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		s.v6 = false
		s.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open a UDP socket: %w", err)
	}
	if err := s.setUp(port, mark, want); err != nil {
		unix.Close(s.fd)
		return nil, err
	}
	return s, nil
}

func (s *Socket) setUp(port uint16, mark uint32, want Offload) error {
	var addr unix.Sockaddr = &unix.SockaddrInet4{Port: int(port)}
	if s.v6 {
		addr = &unix.SockaddrInet6{Port: int(port)}
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return fmt.Errorf("open the UDP socket to both families: %w", err)
		}
	}
	if mark != 0 {
		if err := s.Mark(mark); err != nil {
			return err
		}
	}
	for force, plain := range map[int]int{unix.SO_RCVBUFFORCE: unix.SO_RCVBUF, unix.SO_SNDBUFFORCE: unix.SO_SNDBUF} {
		if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, bufferSize) != nil {
			_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, plain, bufferSize) // as much as the limit allows
		}
	}
	s.has = offload(s.fd, want)
	if err := s.probe(); err != nil {
		return err
	}
	if err := s.askWhere(); err != nil {
		return err
	}
	if err := unix.Bind(s.fd, addr); err != nil {
		return fmt.Errorf("bind the UDP socket to port %d: %w", port, err)
	}
	return nil
}

// Mark gives what goes out from now on a firewall mark (0: none). It needs
// CAP_NET_ADMIN; on an error the old one stays.
func (s *Socket) Mark(mark uint32) error {
	if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
		return fmt.Errorf("mark the UDP socket with %#x: %w", mark, err)
	}
	return nil
}

// FD is the descriptor, to wait on.
func (s *Socket) FD() int { return s.fd }

// Has tells what is in use.
func (s *Socket) Has() Offload { return s.has }

// Close ends the socket.
func (s *Socket) Close() error { return unix.Close(s.fd) }

// Port returns the port that the socket is bound to.
func (s *Socket) Port() (uint16, error) {
	addr, err := unix.Getsockname(s.fd)
	if err != nil {
		return 0, fmt.Errorf("ask for the UDP socket's port: %w", err)
	}
	switch a := addr.(type) {
	case *unix.SockaddrInet4:
		return uint16(a.Port), nil
	case *unix.SockaddrInet6:
		return uint16(a.Port), nil
	}
	return 0, errors.New("ask for the UDP socket's port: an address of another family")
}

// put writes an address for the kernel and returns its length; 0 means that
// the socket cannot reach it.
func (s *Socket) put(raw *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	addr := to.Addr()
	if !s.v6 {
		if !addr.Is4() {
			return 0
		}
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		*four = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: addr.As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&four.Port))[:], to.Port())
		return unix.SizeofSockaddrInet4
	}
	*raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: addr.As16()} // IPv4 becomes mapped
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:], to.Port())
	return unix.SizeofSockaddrInet6
}

// get reads an address of the kernel's. A mapped one comes back as IPv4.
func get(raw *unix.RawSockaddrInet6) netip.AddrPort {
	if raw.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(raw))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&four.Port))[:]))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(raw.Addr).Unmap(), binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:]))
}
