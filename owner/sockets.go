package owner

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
)

// Protocol is a socket's kind. The zero value is none.
type Protocol uint8

// The kinds that are looked for.
const (
	ProtocolNone Protocol = iota
	UDP
	TCP
	Raw // the ports of such a socket are its IP protocol
)

// String returns udp, tcp, raw or none.
func (p Protocol) String() string {
	names := [...]string{"none", "udp", "tcp", "raw"}
	if int(p) >= len(names) {
		return names[0]
	}
	return names[p]
}

// Socket is one inet socket.
type Socket struct {
	Protocol Protocol
	Local    netip.AddrPort
	Remote   netip.AddrPort // 0.0.0.0:0 or [::]:0 unless connected; OpenVPN's UDP sockets are not
	UID      uint32         // of its file, set when it was made
	Inode    uint64
	Device   int    // index of the interface it is bound to, or 0
	Mark     uint32 // SO_MARK; means nothing unless MarkKnown
	// MarkKnown is false without CAP_NET_ADMIN, in another network namespace,
	// and where the kernel has no sock_diag.
	MarkKnown bool
	Cgroup    uint64 // cgroup v2 id at the time it was made; 0 if unknown. Linux 5.7.
}

// Match tells how sure it is that sockets belong to the process.
type Match int

// From unsure to sure.
const (
	MatchNone   Match = iota
	MatchRemote       // another process could have a connection to the same remote
	MatchFile         // the process holds them open
)

// Found is what [Sockets] found.
type Found struct {
	Match   Match
	Sockets []Socket
}

// Sockets returns the inet sockets of process pid. If its open files cannot be
// read (another user's process without CAP_SYS_PTRACE), it returns those
// connected to one of remotes, with MatchRemote; without remotes that is an
// error for which errors.Is tells os.ErrPermission.
//
// A process in another network namespace is looked up in its /proc/PID/net,
// which knows no marks; so is any below a procRoot other than "" and /proc.
func Sockets(pid int, procRoot string, remotes ...netip.AddrPort) (Found, error) {
	p := newProc(pid, procRoot)
	inodes, ferr := p.socketInodes()
	if ferr != nil && (!errors.Is(ferr, os.ErrPermission) || len(remotes) == 0) {
		return Found{}, fmt.Errorf("list sockets of process %d: %w", pid, ferr)
	}
	all, err := p.allSockets()
	if err != nil {
		return Found{}, fmt.Errorf("list sockets of process %d: %w", pid, err)
	}
	found := Found{Match: MatchFile}
	belongs := func(s Socket) bool { return inodes[s.Inode] }
	if ferr != nil {
		found.Match = MatchRemote
		belongs = func(s Socket) bool { return slices.Contains(remotes, s.Remote) }
	}
	for _, s := range all {
		if s.Inode != 0 && belongs(s) {
			found.Sockets = append(found.Sockets, s)
		}
	}
	if len(found.Sockets) == 0 && found.Match != MatchFile {
		found.Match = MatchNone
	}
	return found, nil
}

func (p proc) socketInodes() (map[uint64]bool, error) {
	entries, err := os.ReadDir(p.path("fd"))
	if err != nil {
		return nil, gone(err)
	}
	inodes := map[uint64]bool{}
	for _, e := range entries {
		link, err := os.Readlink(p.path("fd", e.Name()))
		switch {
		case errors.Is(err, fs.ErrNotExist): // closed meanwhile
		case err != nil:
			return nil, gone(err)
		default:
			if n := bracketed(link, "socket:["); n != 0 {
				inodes[n] = true
			}
		}
	}
	return inodes, nil
}

func (p proc) allSockets() ([]Socket, error) {
	// A namespace that cannot be read is taken for ours: its files cannot be read
	// either then, so the match is unsure already, and only asking shows marks.
	theirs := nsInode(p.path("ns", "net"))
	ask := p.root == "/proc" && (theirs == 0 || theirs == nsInode("/proc/thread-self/ns/net"))
	var all []Socket
	for _, proto := range []Protocol{UDP, TCP, Raw} {
		if ask {
			if got, err := diag(proto); err == nil {
				all = append(all, got...)
				continue
			}
			// A module that cannot be loaded: the tables have all but the marks.
		}
		got, err := p.tables(proto)
		if err != nil {
			return nil, err
		}
		all = append(all, got...)
	}
	return all, nil
}
