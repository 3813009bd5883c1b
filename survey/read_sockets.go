package survey

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// dnsPort is where resolvers listen.
const dnsPort = 53

// States of a socket that waits for others, in /proc/net (<net/tcp_states.h>).
const (
	tcpListen = "0A"
	udpOpen   = "07" // TCP_CLOSE: not connected
)

// listeners finds who listens on port 53, and who answers others at any port, by
// proc_net(5).
func (t *tree) listeners() (names []Listener, others []Service) {
	var all []Service
	inodes := map[string][]int{} // -> index in all
	for _, f := range []struct{ file, proto, state string }{
		{"udp", "udp", udpOpen}, {"udp6", "udp", udpOpen}, {"tcp", "tcp", tcpListen}, {"tcp6", "tcp", tcpListen},
	} {
		name := "/proc/net/" + f.file
		for i, line := range strings.Split(strings.TrimSpace(t.text(name)), "\n") {
			w := strings.Fields(line)
			if i == 0 || len(w) < 10 || w[3] != f.state {
				continue
			}
			at, err := socketAddress(w[1])
			uid, errUID := strconv.ParseUint(w[7], 10, 32)
			if err != nil || errUID != nil {
				t.miss(name, fmt.Errorf("line %q is no socket", line))
				continue
			}
			if !waits(f.proto, at) {
				continue
			}
			inodes[w[9]] = append(inodes[w[9]], len(all))
			all = append(all, Service{Addr: at.Addr(), Port: at.Port(), Proto: f.proto, UID: uint32(uid)})
		}
	}
	if len(all) > 0 {
		t.holders(inodes, func(i int, program string) { all[i].Program = program })
	}
	for _, s := range all {
		if s.Port == dnsPort {
			names = append(names, Listener{Addr: s.Addr, Proto: s.Proto, UID: s.UID, Program: s.Program})
		}
		if !s.Addr.IsLoopback() {
			others = append(others, s)
		}
	}
	return names, others
}

// ephemeral is where the ports of clients begin by default, by ip-sysctl.
const ephemeral = 32768

// waits reports whether a socket is there for others, or answers names.
func waits(proto string, at netip.AddrPort) bool {
	return at.Port() == dnsPort || !at.Addr().IsLoopback() && (proto == "tcp" || at.Port() < ephemeral)
}

// socketAddress reads an address as /proc/net writes it: words of the
// machine's byte order in hexadecimal, a colon, the port.
func socketAddress(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for i := 0; i+4 <= len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil || !ok {
		return netip.AddrPort{}, fmt.Errorf("address %q", s)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// holders names the programs that hold the sockets, as far as their files may
// be looked at: a listener without a name is still a finding.
func (t *tree) holders(inodes map[string][]int, name func(i int, program string)) {
	files, _ := filepath.Glob(t.path("/proc/[0-9]*/fd/*")) // the only error is of the pattern
	for _, fd := range files {
		link, err := os.Readlink(fd)
		if err != nil {
			continue // closed meanwhile, or not ours to see
		}
		inode := strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")
		for _, i := range inodes[inode] {
			if comm, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(fd)), "comm")); err == nil {
				name(i, strings.TrimSpace(string(comm)))
			}
		}
	}
}
