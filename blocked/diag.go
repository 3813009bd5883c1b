package blocked

import (
	"encoding/binary"
	"errors"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Sizes of <linux/inet_diag.h>: the request and the message before its attributes.
const (
	diagRequest = 56
	diagMessage = 72
)

// diag asks the kernel for one socket by its addresses (sock_diag(7)). Reading
// the tables of all sockets takes ten times as long, and a program that was
// refused is often gone by then.
type diag struct {
	conn *netlink.Conn // nil: the kernel cannot be asked
}

func openDiag() diag {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return diag{} // the tables have the same
	}
	return diag{conn}
}

// find returns the inode of the socket that the packet was sent from, 0 if
// there is none; known is false if only the tables can tell.
func (d diag) find(e Event) (inode uint64, known bool) {
	if d.conn == nil || (e.Proto != protoUDP && e.Proto != protoTCP) || e.SrcPort == 0 {
		return 0, false
	}
	answers, err := d.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request},
		Data:   diagQuestion(e),
	})
	if errors.Is(err, unix.ENOENT) {
		return 0, true
	}
	if err != nil || len(answers) != 1 {
		return 0, false
	}
	return diagAnswer(answers[0].Data, e), true
}

// diagQuestion: for UDP the kernel takes the local side for the remote one.
func diagQuestion(e Event) []byte {
	b := make([]byte, diagRequest)
	b[0], b[1] = unix.AF_INET, e.Proto
	if e.Src.Is6() {
		b[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(b[4:], ^uint32(0)) // whatever state it is in
	local, remote, localPort, remotePort := e.Src.AsSlice(), e.Dst.AsSlice(), e.SrcPort, e.DstPort
	if e.Proto == protoUDP {
		local, remote, localPort, remotePort = remote, local, remotePort, localPort
	}
	binary.BigEndian.PutUint16(b[8:], localPort)
	binary.BigEndian.PutUint16(b[10:], remotePort)
	copy(b[12:], local)
	copy(b[28:], remote)
	binary.NativeEndian.PutUint32(b[44:], e.link)                // a socket may be bound to it
	copy(b[48:], []byte{255, 255, 255, 255, 255, 255, 255, 255}) // no cookie
	return b
}

// diagAnswer believes a socket only with the port and uid of the packet: a
// listening one would be found too.
func diagAnswer(b []byte, e Event) uint64 {
	if len(b) < diagMessage || binary.BigEndian.Uint16(b[4:]) != e.SrcPort || binary.NativeEndian.Uint32(b[64:]) != *e.UID {
		return 0
	}
	return uint64(binary.NativeEndian.Uint32(b[68:]))
}

func (d diag) close() {
	if d.conn != nil {
		_ = d.conn.Close()
	}
}
