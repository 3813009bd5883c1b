package guardian

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/guard"
)

// Peer is who calls, as the kernel saw it when the connection was made.
type Peer struct {
	UID uint32
	PID int
	// Foreign callers are in another user namespace: their uid may be one that
	// only stands for what cannot be mapped.
	Foreign bool
	// Line is the calling process and those that it descends from.
	Line []Process
}

// Process names a process for good.
type Process struct {
	PID   int
	Start uint64 // clock ticks since boot
}

// maxLine bounds the line: a client calls its hook itself or by a shell or two.
const maxLine = 8

// Processes tells of processes; package owner has them.
type Processes interface {
	// Parent is a process's start time and its parent's id.
	Parent(pid int) (start uint64, parent int, err error)
}

// peerOf asks the kernel and /proc who is at the other end.
func peerOf(conn *net.UnixConn, procs Processes) (Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return Peer{}, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return Peer{}, err
	}
	if credErr != nil {
		return Peer{}, fmt.Errorf("ask who calls: %w", credErr)
	}
	p := Peer{UID: cred.Uid, PID: int(cred.Pid), Foreign: userNamespace(int(cred.Pid)) != userNamespace(os.Getpid())}
	for pid := p.PID; pid > 1 && len(p.Line) < maxLine; {
		start, parent, err := procs.Parent(pid)
		if err != nil {
			break
		}
		p.Line = append(p.Line, Process{pid, start})
		pid = parent
	}
	return p, nil
}

// userNamespace is the inode number of a process's; 0 if it cannot be read,
// which is another one than ours.
func userNamespace(pid int) uint64 {
	link, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/user")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(link, "user:["), "]"), 10, 64)
	return n
}

// root reports whether the caller may do everything.
func (p Peer) root() bool { return p.UID == 0 && !p.Foreign }

// isClient reports whether the session's own client called, or its hook.
func (p Peer) isClient(s guard.Session) bool {
	return s.PID != 0 && s.Start != 0 && slices.Contains(p.Line, Process{s.PID, s.Start})
}

// mayEnd reports whether the caller may end a session or note its restart.
func (p Peer) mayEnd(s guard.Session) bool {
	return p.root() || p.isClient(s) || !p.Foreign && slices.Contains(s.Owner.UIDs, p.UID)
}

// mayUpdate reports whether the caller may name another server of a session: its
// owner may not, for a user's other programs would dig holes for themselves.
func (p Peer) mayUpdate(s guard.Session) bool { return p.root() || p.isClient(s) }

// may reports whether the caller may ask for this at all; sessions are looked
// at later, under the record's lock.
func (p Peer) may(v Verb, sel *guard.Selection) bool {
	switch v {
	case VerbUpdate, VerbMove, VerbRestart:
		return true
	case VerbStop:
		return p.root() || !sel.All
	case VerbUp, VerbLock, VerbConfirm, VerbUnlock, VerbExpire, VerbRecover, VerbInfo, VerbFollow:
		return p.root()
	}
	return false
}

func (p Peer) String() string { return fmt.Sprintf("uid %d, pid %d", p.UID, p.PID) }
