package owner

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Sizes and attributes of <linux/inet_diag.h>.
const (
	requestSize = 56
	messageSize = 72
	attrMark    = 15 // sent only to who has CAP_NET_ADMIN in the namespace
	attrCgroup  = 21
	allStates   = 1<<32 - 1
)

// dumpTries bounds the repeats of a dump that sockets coming and going cut short.
const dumpTries = 5

// diag asks the kernel for the sockets of the caller's network namespace by
// sock_diag(7).
func diag(proto Protocol) ([]Socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return nil, fmt.Errorf("open sock_diag: %w", err)
	}
	defer conn.Close()
	var all []Socket
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		got, err := dump(conn, family, proto)
		if err != nil {
			return nil, fmt.Errorf("dump %v sockets: %w", proto, err)
		}
		all = append(all, got...)
	}
	return all, nil
}

func dump(conn *netlink.Conn, family byte, proto Protocol) ([]Socket, error) {
	number := map[Protocol]byte{UDP: unix.IPPROTO_UDP, TCP: unix.IPPROTO_TCP, Raw: unix.IPPROTO_RAW}[proto]
	req := make([]byte, requestSize)
	req[0], req[1] = family, number
	binary.NativeEndian.PutUint32(req[4:], allStates)
	for try := 1; ; try++ {
		msgs, err := conn.Execute(netlink.Message{
			Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
			Data:   req,
		})
		if err != nil {
			return nil, err
		}
		if interrupted(msgs) && try < dumpTries {
			continue
		}
		var all []Socket
		for _, m := range msgs {
			s, err := parseDiag(m.Data, proto)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
		return all, nil
	}
}

func interrupted(msgs []netlink.Message) bool {
	for _, m := range msgs {
		if m.Header.Flags&netlink.DumpInterrupted != 0 {
			return true
		}
	}
	return false
}

// parseDiag reads a struct inet_diag_msg and its attributes.
func parseDiag(b []byte, proto Protocol) (Socket, error) {
	if len(b) < messageSize {
		return Socket{}, fmt.Errorf("message of %d bytes, want %d", len(b), messageSize)
	}
	size := 4
	if b[0] == unix.AF_INET6 {
		size = 16
	}
	addr := func(at, port int) netip.AddrPort {
		a, _ := netip.AddrFromSlice(b[at : at+size])
		return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(b[port:]))
	}
	s := Socket{
		Protocol: proto,
		Local:    addr(8, 4),
		Remote:   addr(24, 6),
		Device:   int(binary.NativeEndian.Uint32(b[40:])),
		UID:      binary.NativeEndian.Uint32(b[64:]),
		Inode:    uint64(binary.NativeEndian.Uint32(b[68:])),
	}
	attrs, err := netlink.NewAttributeDecoder(b[messageSize:])
	if err != nil {
		return Socket{}, err
	}
	for attrs.Next() {
		switch attrs.Type() {
		case attrMark:
			s.Mark, s.MarkKnown = attrs.Uint32(), true
		case attrCgroup:
			s.Cgroup = attrs.Uint64()
		}
	}
	return s, attrs.Err()
}
