package blocked

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// socket returns the inode of the socket that the packet was sent from; 0 if
// none is listed or it may be one of several.
func (f *finder) socket(e Event) uint64 {
	if inode, known := f.diag.find(e); known {
		return inode
	}
	port := e.SrcPort
	if e.echo != 0 {
		port = e.echo
	}
	if inode := f.search(e, socketTables(e), port); inode != 0 {
		return inode
	}
	// A raw socket has its protocol for a port.
	return f.search(e, rawTables(e), uint16(e.Proto))
}

// search takes a socket that is connected to the destination before one that
// may send anywhere.
func (f *finder) search(e Event, tables []string, port uint16) uint64 {
	var connected, loose []uint64
	for _, name := range tables {
		for field := range f.table(name) {
			s, ok := parseSocket(field)
			if !ok || s.inode == 0 || s.uid != *e.UID || s.local.Port() != port || port == 0 {
				continue
			}
			if a := s.local.Addr(); a != e.Src && !a.IsUnspecified() {
				continue
			}
			switch to := s.remote; {
			case to.Addr() == e.Dst:
				connected = append(connected, s.inode)
			case to.Addr().IsUnspecified():
				loose = append(loose, s.inode)
			}
		}
	}
	for _, found := range [][]uint64{connected, loose} {
		if len(found) == 1 {
			return found[0]
		}
	}
	return 0
}

// socketTables are files of /proc/net. A socket of IPv6 may send IPv4.
func socketTables(e Event) []string {
	switch e.Proto {
	case protoTCP:
		return []string{"tcp", "tcp6"}
	case protoUDP:
		return []string{"udp", "udp6"}
	case protoUDPLite:
		return []string{"udplite", "udplite6"}
	case protoICMP:
		return []string{"icmp"}
	case protoICMPv6:
		return []string{"icmp6"}
	}
	return nil
}

func rawTables(e Event) []string {
	if e.Src.Is4() {
		return []string{"raw"}
	}
	return []string{"raw6"}
}

// socketLine is a line of one of these files.
type socketLine struct {
	local, remote netip.AddrPort
	uid           uint32
	inode         uint64
}

// parseSocket reads sl, local, remote, state, queues, timer, retransmits, uid,
// timeout and inode (proc_pid_net(5)); false for the line of column names.
func parseSocket(field []string) (s socketLine, ok bool) {
	if len(field) < 10 {
		return s, false
	}
	uid, err := strconv.ParseUint(field[7], 10, 32)
	if err != nil {
		return s, false
	}
	if s.inode, err = strconv.ParseUint(field[9], 10, 64); err != nil {
		return s, false
	}
	s.uid = uint32(uid)
	var okLocal, okRemote bool
	s.local, okLocal = parseHexAddr(field[1])
	s.remote, okRemote = parseHexAddr(field[2])
	return s, okLocal && okRemote
}

// parseHexAddr reads 0100007F:0035: the address as 32-bit numbers of the
// host's byte order, the port as a number.
func parseHexAddr(text string) (netip.AddrPort, bool) {
	host, portText, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	port, errPort := strconv.ParseUint(portText, 16, 16)
	if err != nil || errPort != nil || (len(raw) != 4 && len(raw) != 16) {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), true
}
