package sysctl

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// wire is the far end of a cable: it injects frames and hears what comes out.
//
//	host: e0 192.0.2.1/24 --- e0p (wire)      neighbours .9 .253 .254 are only said to be there
//	      e1 10.8.0.2/24  --- e1p             stands for the tunnel
type wire struct {
	t        *testing.T
	fd       int
	near     net.HardwareAddr
	farIndex int
}

var strangerMAC = net.HardwareAddr{2, 0, 0, 0, 0, 0x99}

func newWire(t *testing.T, near, far netlink.Link) *wire {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: far.Attrs().Index}))
	return &wire{t: t, fd: fd, near: near.Attrs().HardwareAddr, farIndex: far.Attrs().Index}
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func (w *wire) inject(etherType uint16, payload []byte) {
	w.t.Helper()
	frame := append(append([]byte{}, w.near...), strangerMAC...)
	frame = append(binary.BigEndian.AppendUint16(frame, etherType), payload...)
	must(w.t, unix.Sendto(w.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: w.farIndex}))
}

// patience is how long to wait for what should come, on a busy machine too, or
// should not: on a veth it is there before inject returns.
func patience(expected bool) time.Time {
	if expected {
		return time.Now().Add(2 * time.Second)
	}
	return time.Now().Add(25 * time.Millisecond)
}

// hears tells whether a frame comes from the host that match accepts.
func (w *wire) hears(expected bool, match func(etherType uint16, payload []byte) bool) bool {
	w.t.Helper()
	deadline := patience(expected)
	buf := make([]byte, 2048)
	for time.Now().Before(deadline) {
		n, from, err := unix.Recvfrom(w.fd, buf, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			time.Sleep(time.Millisecond)
			continue
		}
		must(w.t, err)
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if n >= 14 && match(binary.BigEndian.Uint16(buf[12:]), buf[14:n]) {
			return true
		}
	}
	return false
}

func a4(s string) []byte { a := netip.MustParseAddr(s).As4(); return a[:] }

func ipv4(proto byte, src, dst string, options, payload []byte) []byte {
	b := make([]byte, 20, 60+len(payload))
	b[0] = 0x40 | byte(5+len(options)/4)
	b[8], b[9] = 64, proto
	copy(b[12:], a4(src))
	copy(b[16:], a4(dst))
	b = append(b, options...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(payload)))
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, payload...)
}

func udp(sport, dport uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	return append(b, 0, 9, 0, 0, 'x') // no checksum, as IPv4 allows
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func arpRequest(sender, target string) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	b = append(append(b, strangerMAC...), a4(sender)...)
	return append(append(b, 0, 0, 0, 0, 0, 0), a4(target)...)
}

// redirect is what gateway says about the host's flow to dst.
func redirect(gateway, better, dst string, sport uint16) []byte {
	b := append([]byte{5, 1, 0, 0}, a4(better)...)
	b = append(b, ipv4(unix.IPPROTO_UDP, "192.0.2.1", dst, nil, udp(sport, 9))...)
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return ipv4(unix.IPPROTO_ICMP, gateway, "192.0.2.1", nil, b)
}

func received(t *testing.T, conn *net.UDPConn, expected bool) bool {
	t.Helper()
	must(t, conn.SetReadDeadline(patience(expected)))
	_, _, err := conn.ReadFrom(make([]byte, 16))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}
