package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// how says how a socket chooses its way. Zero fields leave it to the kernel.
type how struct {
	device    string     // SO_BINDTODEVICE
	unicastIf string     // IP_UNICAST_IF, IPV6_UNICAST_IF
	pktinfo   string     // IP_PKTINFO, IPV6_PKTINFO with each datagram
	groupIf   string     // IP_MULTICAST_IF, IPV6_MULTICAST_IF
	source    netip.Addr // bind
	mapped    bool       // IPv4 by an IPv6 socket
	broadcast bool
	mark      uint32 // SO_MARK
	class     int    // IP_TOS
	options   []byte // IP_OPTIONS
	protocol  int
}

func (h how) String() string {
	for _, o := range []struct{ name, dev string }{{"device", h.device}, {"unicast_if", h.unicastIf}, {"pktinfo", h.pktinfo}, {"multicast_if", h.groupIf}} {
		if o.dev != "" {
			return " by " + o.name + " " + o.dev
		}
	}
	if h.source.IsValid() {
		return " from " + h.source.String()
	}
	return ""
}

func (h how) open(to netip.Addr, kind int) (int, error) {
	family := unix.AF_INET
	if to.Is6() || h.mapped {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, h.protocol)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if err := h.apply(fd, to); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func (h how) apply(fd int, to netip.Addr) error {
	if h.broadcast {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
			return fmt.Errorf("SO_BROADCAST: %w", err)
		}
	}
	if h.class != 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, h.class); err != nil {
			return fmt.Errorf("IP_TOS: %w", err)
		}
	}
	if h.mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(h.mark)); err != nil {
			return fmt.Errorf("SO_MARK: %w", err)
		}
	}
	if h.device != "" {
		if err := unix.BindToDevice(fd, h.device); err != nil {
			return fmt.Errorf("SO_BINDTODEVICE: %w", err)
		}
	}
	if h.unicastIf != "" {
		index, err := ifindex(h.unicastIf)
		if err != nil {
			return err
		}
		// Both take the index in network order, unlike every other option.
		level, opt := unix.IPPROTO_IP, unix.IP_UNICAST_IF
		if to.Is6() {
			level, opt = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_IF
		}
		if err := unix.SetsockoptInt(fd, level, opt, int(int32(networkOrder32(uint32(index))))); err != nil {
			return fmt.Errorf("UNICAST_IF: %w", err)
		}
	}
	if h.groupIf != "" {
		index, err := ifindex(h.groupIf)
		if err != nil {
			return err
		}
		if to.Is6() {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, index)
		} else {
			err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(index)})
		}
		if err != nil {
			return fmt.Errorf("MULTICAST_IF: %w", err)
		}
	}
	if h.options != nil {
		if err := unix.SetsockoptString(fd, unix.IPPROTO_IP, unix.IP_OPTIONS, string(h.options)); err != nil {
			return fmt.Errorf("IP_OPTIONS: %w", err)
		}
	}
	if h.source.IsValid() {
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(h.source, 0))); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
	}
	return nil
}

// datagram sends payload to one address.
func (s *shot) datagram(h how, kind int, to netip.AddrPort, payload []byte, what string) {
	what = fmt.Sprintf("%s to %s%s", what, to, h)
	fd, err := h.open(to.Addr(), kind)
	if err != nil {
		s.tried(what, err)
		return
	}
	defer unix.Close(fd)
	var control []byte
	if h.pktinfo != "" {
		index, err := ifindex(h.pktinfo)
		if err != nil {
			s.fail("pktinfo", err)
			return
		}
		if to.Addr().Is6() {
			control = unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: uint32(index)})
		} else {
			control = unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(index)})
		}
	}
	addr := sockaddr(to)
	if h.mapped {
		addr = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	s.tried(what, unix.Sendmsg(fd, payload, control, addr, 0))
}

func (s *shot) udp(h how, to netip.AddrPort) {
	s.datagram(h, unix.SOCK_DGRAM, to, s.payload(), "udp")
}

// tcp connects and, if that works in time, sends the nonce. What it leaves on
// the wire without an answer has no payload, so the flow is evidence too.
func (s *shot) tcp(h how, to netip.AddrPort, payload []byte) {
	what := fmt.Sprintf("tcp to %s%s", to, h)
	fd, err := h.open(to.Addr(), unix.SOCK_STREAM|unix.SOCK_NONBLOCK)
	if err != nil {
		s.tried(what, err)
		return
	}
	defer unix.Close(fd)
	// The port is chosen first, to be known even if connect is refused.
	if !h.source.IsValid() {
		any := netip.IPv4Unspecified()
		if to.Addr().Is6() {
			any = netip.IPv6Unspecified()
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(any, 0))); err != nil {
			s.fail("bind", err)
			return
		}
	}
	port, err := localPort(fd)
	if err != nil {
		s.fail("getsockname", err)
		return
	}
	s.flow(wire.Flow{To: to.Addr(), Proto: wire.TCP, SrcPort: port, DstPort: to.Port()})
	err = unix.Connect(fd, sockaddr(to))
	if !errors.Is(err, unix.EINPROGRESS) {
		s.tried(what, err)
		return
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if n, err := unix.Poll(fds, int(answerWait.Milliseconds())); err != nil || n == 0 {
		s.tried(what, nil) // the SYN was taken; nobody answered
		if i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && i.State == tcpSynSent {
			s.receipt.Witness = fmt.Sprintf("TCP_INFO of port %d: SYN-SENT, %d sent again", port, i.Total_retrans)
		}
		return
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err == nil {
		_, err = unix.Write(fd, payload)
	}
	s.tried(what, err)
}

// tcpSynSent is TCP_SYN_SENT of the kernel's tcp_states.h.
const tcpSynSent = 2

// ping sends an echo request by a ping socket, which needs no privilege.
func (s *shot) ping(h how, to netip.Addr) {
	h.protocol = unix.IPPROTO_ICMP
	if to.Is6() {
		h.protocol = unix.IPPROTO_ICMPV6
	}
	before := echoes(to)
	s.datagram(h, unix.SOCK_DGRAM, netip.AddrPortFrom(to, 0), echoRequest(to, s.payload()), "echo")
	// A ping socket of IPv6 is not told that the packet was dropped.
	if after := echoes(to); after > before {
		s.receipt.Witness = fmt.Sprintf("/proc/net/snmp6: Icmp6OutEchos went from %d to %d", before, after)
	}
}

// echoes counts the IPv6 echo requests that this namespace's kernel has made.
func echoes(to netip.Addr) int {
	if !to.Is6() {
		return 0
	}
	return counter("/proc/net/snmp6", "Icmp6OutEchos")
}

// counter is one of the kernel's, in a file of names and numbers; 0 if there is none.
func counter(file, name string) (n int) {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			n, _ = strconv.Atoi(f[1])
		}
	}
	return n
}

// pingRaw sends an echo request by a raw socket.
func (s *shot) pingRaw(h how, to netip.Addr) {
	h.protocol = unix.IPPROTO_ICMP
	if to.Is6() {
		h.protocol = unix.IPPROTO_ICMPV6
	}
	s.datagram(h, unix.SOCK_RAW, netip.AddrPortFrom(to, 0), echoRequest(to, s.payload()), "raw echo")
}

// echoRequest has a checksum for IPv4; for IPv6 the kernel writes it.
func echoRequest(to netip.Addr, payload []byte) []byte {
	m := append([]byte{8, 0, 0, 0, 0x76, 0x67, 0, 1}, payload...)
	if to.Is6() {
		m[0] = 128
		return m
	}
	binary.BigEndian.PutUint16(m[2:], checksum(m))
	return m
}

// checksum is the Internet checksum (RFC 1071) of the concatenated parts, of
// which all but the last have even lengths.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
		if len(b)%2 == 1 {
			sum += uint32(b[len(b)-1]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func localPort(fd int) (uint16, error) {
	a, err := unix.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return uint16(a.Port), nil
	case *unix.SockaddrInet6:
		return uint16(a.Port), nil
	}
	return 0, fmt.Errorf("unexpected address %T", a)
}

func ifindex(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("find %q: %w", name, err)
	}
	return i.Index, nil
}

// address is the first address of dev of the family that is not link-local.
func address(dev string, v6 bool) (netip.Addr, error) {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find %q: %w", dev, err)
	}
	addrs, err := i.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list the addresses of %q: %w", dev, err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Unmap().Is6() == v6 && !p.Addr().IsLinkLocalUnicast() {
			return p.Addr().Unmap(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%q has no such address", dev)
}

func networkOrder32(v uint32) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return binary.NativeEndian.Uint32(b[:])
}

func networkOrder16(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
