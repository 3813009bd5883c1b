package dhcp

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Want says which lease to ask for. The script is called as udhcpc calls its
// own: with "bound" and the lease in its environment.
type Want struct {
	Interface string
	Script    string
}

// Take is the client's role: it asks for a lease, has the script apply it, and
// ends.
func Take(arg string) error {
	var w Want
	if err := json.Unmarshal([]byte(arg), &w); err != nil {
		return err
	}
	i, err := net.InterfaceByName(w.Interface)
	if err != nil {
		return err
	}
	// A packet socket, as all such clients have: there may be no address yet.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(order(unix.ETH_P_IP)))
	if err != nil {
		return fmt.Errorf("open a packet socket: %w", err)
	}
	defer unix.Close(fd)
	at := &unix.SockaddrLinklayer{Ifindex: i.Index, Protocol: order(unix.ETH_P_IP), Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	if err := unix.Bind(fd, at); err != nil {
		return fmt.Errorf("bind to %q: %w", w.Interface, err)
	}
	m := message{op: 1, hw: [6]byte(i.HardwareAddr), options: map[byte][]byte{
		optKind: {discover}, optHostname: []byte("lab-client"),
		optWanted: {optMask, OptRouter, OptDNS, OptStaticRoutes, OptClassless},
	}}
	_, _ = rand.Read(m.xid[:])
	o, err := exchange(fd, at, m, offer)
	if err != nil {
		return fmt.Errorf("ask for a lease: %w", err)
	}
	m.options[optKind] = []byte{request}
	m.options[optRequested], m.options[optServer] = o.yours.AsSlice(), o.options[optServer]
	lease, err := exchange(fd, at, m, ack)
	if err != nil {
		return fmt.Errorf("take a lease: %w", err)
	}
	cmd := exec.Command(w.Script, "bound")
	cmd.Env = append(os.Environ(), lease.environment(w.Interface)...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func order(v uint16) uint16 { return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)}) }

var errNoAnswer = errors.New("no server answers")

// exchange sends up to five times, and returns the answer of that kind.
func exchange(fd int, to unix.Sockaddr, m message, kind byte) (message, error) {
	packet := datagram(m.bytes())
	buf := make([]byte, 2048)
	for range 5 {
		if err := unix.Sendto(fd, packet, 0, to); err != nil {
			return message{}, err
		}
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, err := unix.Poll(fds, 100); err != nil || n == 0 {
				continue
			}
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err != nil {
				return message{}, err
			}
			b := buf[:n]
			if len(b) < 28 || b[9] != unix.IPPROTO_UDP || len(b) < int(b[0]&15)*4+8 {
				continue
			}
			u := b[int(b[0]&15)*4:]
			if binary.BigEndian.Uint16(u[2:]) != 68 {
				continue
			}
			if a, err := parse(u[8:]); err == nil && a.op == 2 && a.xid == m.xid && len(a.options[optKind]) == 1 && a.options[optKind][0] == kind {
				return a, nil
			}
		}
	}
	return message{}, errNoAnswer
}

// datagram is UDP from nobody to everybody, without a checksum of UDP's.
func datagram(payload []byte) []byte {
	b := make([]byte, 28, 28+len(payload))
	b[0], b[8], b[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], uint16(28+len(payload)))
	copy(b[16:], []byte{255, 255, 255, 255})
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(b[20:], 68)
	binary.BigEndian.PutUint16(b[22:], 67)
	binary.BigEndian.PutUint16(b[24:], uint16(8+len(payload)))
	return append(b, payload...)
}

// environment has udhcpc's names.
func (m message) environment(ifname string) []string {
	ones, _ := net.IPMask(m.options[optMask]).Size()
	return []string{
		"interface=" + ifname, "ip=" + m.yours.String(), fmt.Sprintf("mask=%d", ones),
		"router=" + list(m.options[OptRouter]), "dns=" + list(m.options[OptDNS]),
		"routes=" + list(m.options[OptStaticRoutes]), "staticroutes=" + classless(m.options[OptClassless]),
	}
}

func list(b []byte) string {
	var all []string
	for ; len(b) >= 4; b = b[4:] {
		a, _ := netip.AddrFromSlice(b[:4])
		all = append(all, a.String())
	}
	return strings.Join(all, " ")
}

// classless reads option 121, as "PREFIX ROUTER" pairs.
func classless(b []byte) string {
	var all []string
	for len(b) > 0 {
		n := (int(b[0]) + 7) / 8
		if b[0] > 32 || len(b) < 1+n+4 {
			break
		}
		var dst [4]byte
		copy(dst[:], b[1:1+n])
		via, _ := netip.AddrFromSlice(b[1+n : 5+n])
		all = append(all, netip.PrefixFrom(netip.AddrFrom4(dst), int(b[0])).String(), via.String())
		b = b[5+n:]
	}
	return strings.Join(all, " ")
}
