package owner

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// tables reads /proc/PID/net/udp, udp6 and so on (proc_pid_net(5)).
func (p proc) tables(proto Protocol) ([]Socket, error) {
	var all []Socket
	for _, name := range []string{proto.String(), proto.String() + "6"} {
		text, err := p.read("net", name)
		if errors.Is(err, os.ErrNotExist) && strings.HasSuffix(name, "6") {
			continue // no IPv6 in this kernel
		}
		if err != nil {
			return nil, err
		}
		got, err := parseTable(text, proto)
		if err != nil {
			return nil, fmt.Errorf("net/%s: %w", name, err)
		}
		all = append(all, got...)
	}
	return all, nil
}

func parseTable(text string, proto Protocol) ([]Socket, error) {
	var all []Socket
	first := true
	for line := range strings.Lines(text) {
		if first {
			first = false
			continue // names of the columns
		}
		field := strings.Fields(line)
		if len(field) < 10 {
			return nil, fmt.Errorf("%d fields, want 10 or more", len(field))
		}
		s := Socket{Protocol: proto}
		var err error
		if s.Local, err = parseHexAddr(field[1]); err != nil {
			return nil, err
		}
		if s.Remote, err = parseHexAddr(field[2]); err != nil {
			return nil, err
		}
		uid, err := strconv.ParseUint(field[7], 10, 32)
		if err != nil {
			return nil, err
		}
		s.UID = uint32(uid)
		if s.Inode, err = strconv.ParseUint(field[9], 10, 64); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// parseHexAddr reads 0100007F:0035. The kernel prints the address as 32-bit
// numbers of the host's byte order, the port as a number.
func parseHexAddr(s string) (netip.AddrPort, error) {
	host, portText, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	port, perr := strconv.ParseUint(portText, 16, 16)
	if !ok || err != nil || perr != nil || (len(raw) != 4 && len(raw) != 16) {
		return netip.AddrPort{}, fmt.Errorf("not an address: %q", s)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}
