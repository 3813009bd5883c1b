package tunnel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// many is how many datagrams one call of the generator or of the sink takes: their
// own cost must be small beside that of a tunnel.
const many = 64

// mmsghdr is the kernel's struct of that name.
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// messages is storage for calls on many datagrams at once.
type messages struct {
	hdrs [many]mmsghdr
	vecs [many]unix.Iovec
	bufs [many][2048]byte
}

func newMessages(size int) *messages {
	m := new(messages)
	for i := range m.hdrs {
		m.vecs[i].Base = &m.bufs[i][0]
		m.vecs[i].SetLen(size)
		m.hdrs[i].hdr.Iov = &m.vecs[i]
		m.hdrs[i].hdr.SetIovlen(1)
	}
	return m
}

// call is sendmmsg or recvmmsg for n datagrams. It returns for how many it did.
func (m *messages) call(trap uintptr, fd, n, flags int) (int, error) {
	for {
		r, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(&m.hdrs[0])), uintptr(n), uintptr(flags), 0, 0)
		switch errno {
		case 0:
			return int(r), nil
		case unix.EINTR: // the runtime's own signals
		default:
			return 0, errno
		}
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// datagramSocket makes a socket that is bound (to) or connected (from).
func datagramSocket(o trafficOrder) (int, error) {
	family := unix.AF_INET
	if o.Addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20) // as much as the limit allows
	if o.Kind == "count" {
		err = unix.Bind(fd, sockaddr(o.Addr))
	} else {
		err = unix.Connect(fd, sockaddr(o.Addr))
	}
	return fd, err
}

// shoot sends datagrams of o.Bytes bytes for o.Lasts, o.Count in a second; 0: as
// many as it can. Without an end it sends o.Count in all.
func shoot(o trafficOrder) (r result, err error) {
	fd, err := datagramSocket(o)
	if err != nil {
		return r, err
	}
	defer unix.Close(fd)
	runtime.LockOSThread()
	m := newMessages(int(o.Bytes))
	fmt.Println("ready")
	begin := time.Now()
	for o.Lasts == 0 && r.Good < int(o.Count) {
		sent, err := m.call(unix.SYS_SENDMMSG, fd, min(many, int(o.Count)-r.Good), 0)
		if err != nil {
			return r, fmt.Errorf("send datagrams: %w", err)
		}
		r.Good += sent
	}
	for now := begin; now.Sub(begin) < o.Lasts; now = time.Now() {
		n := many
		if o.Count > 0 {
			n = min(many, int(float64(o.Count)*now.Sub(begin).Seconds())-r.Good)
			if n < 16 { // a few in a row, as a busy host sends them
				time.Sleep(50 * time.Microsecond)
				continue
			}
		}
		sent, err := m.call(unix.SYS_SENDMMSG, fd, n, 0)
		if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ECONNREFUSED) {
			return r, fmt.Errorf("send datagrams: %w", err)
		}
		r.Good += sent
	}
	r.Seconds = time.Since(begin).Seconds()
	return r, nil
}

// count takes datagrams until none came for a while.
func count(o trafficOrder) (r result, err error) {
	fd, err := datagramSocket(o)
	if err != nil {
		return r, err
	}
	defer unix.Close(fd)
	runtime.LockOSThread()
	m := newMessages(len(messages{}.bufs[0]))
	fmt.Println("ready")
	var first, last time.Time
	for {
		wait := unix.Timeval{Sec: 10}
		if r.Good > 0 {
			wait = unix.NsecToTimeval(int64(300 * time.Millisecond))
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
			return r, err
		}
		n, err := m.call(unix.SYS_RECVMMSG, fd, many, unix.MSG_WAITFORONE)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			return r, fmt.Errorf("receive datagrams: %w", err)
		}
		for i := range n {
			if int64(m.hdrs[i].len) != o.Bytes {
				r.Bad++
			}
		}
		last = time.Now()
		if first.IsZero() {
			first = last
		}
		r.Good += n
	}
	r.Seconds = last.Sub(first).Seconds()
	return r, nil
}

// echo asks o.Addr for an answer every 2 ms for o.Lasts. By one thread and
// without the runtime's poller: what is measured is the tunnel.
func echo(o trafficOrder) (r result, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return r, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, sockaddr(o.Addr)); err != nil {
		return r, err
	}
	wait := unix.NsecToTimeval(int64(200 * time.Millisecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return r, err
	}
	runtime.LockOSThread()
	fmt.Println("ready")
	var took []time.Duration
	in := make([]byte, 2048)
	for n, begin := uint16(0), time.Now(); time.Since(begin) < o.Lasts; n++ {
		out := make([]byte, 64)
		out[0] = 8 // echo request
		binary.BigEndian.PutUint16(out[4:], uint16(o.Seed))
		binary.BigEndian.PutUint16(out[6:], n)
		binary.BigEndian.PutUint16(out[2:], ^(8<<8 + uint16(o.Seed) + n)) // small numbers: no carry
		sent := time.Now()
		if _, err := unix.Write(fd, out); err != nil {
			return r, err
		}
		for {
			got, err := unix.Read(fd, in)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				r.Bad++
				break
			}
			if err != nil {
				return r, err
			}
			// Behind the IP header: an echo reply with our number.
			if got >= 28 && in[20] == 0 && binary.BigEndian.Uint16(in[24:]) == uint16(o.Seed) && binary.BigEndian.Uint16(in[26:]) == n {
				took = append(took, time.Since(sent))
				break
			}
		}
		time.Sleep(2*time.Millisecond - time.Since(sent))
	}
	if len(took) == 0 {
		return r, errors.New("no echo came back")
	}
	slices.Sort(took)
	r.Good, r.P50 = len(took), float64(took[len(took)/2].Nanoseconds())/1000
	return r, nil
}
