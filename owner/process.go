// Package owner finds out who sends a VPN's carrier packets: the process, its
// users, its cgroup, its sockets and their firewall marks, and how sure each of
// these is. It reads and asks; it changes nothing.
package owner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// IDs are the four uids, or gids, of a process. The firewall's skuid is FS at
// the moment the socket was made.
type IDs struct{ Real, Effective, Saved, FS uint32 }

// Process is what /proc says of one process. Ids are those of the reader's user
// namespace.
type Process struct {
	PID       int
	Parent    int
	Comm      string // at most 15 bytes, chosen by the process itself
	Exe       string // "" if unreadable; " (deleted)" follows one that was replaced
	Args      []string
	Cwd       string // "" if unreadable
	UIDs      IDs
	GIDs      IDs
	StartTime uint64 // clock ticks since boot; with PID it names the process for good
	Cgroup    string // cgroup v2 path; "" if the kernel has none
	NetNS     uint64 // inode of the network namespace; 0 if unreadable
	OwnNetNS  bool   // whether that is the caller's
	CapEff    uint64 // effective capabilities, a bit each
}

// proc is the /proc of one process.
type proc struct {
	root string // of all
	pid  int
}

func newProc(pid int, root string) proc {
	if root == "" {
		root = "/proc"
	}
	return proc{root: root, pid: pid}
}

func (p proc) path(elem ...string) string {
	return filepath.Join(append([]string{p.root, strconv.Itoa(p.pid)}, elem...)...)
}

func (p proc) read(elem ...string) (string, error) {
	data, err := os.ReadFile(p.path(elem...))
	return string(data), gone(err)
}

// gone makes one error of the two that the kernel has for a process that ended.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w: %w", os.ErrNotExist, err)
	}
	return err
}

// Discover reads the process pid below procRoot; "" is /proc. Exe, Cwd and NetNS
// of another user's process need CAP_SYS_PTRACE and stay empty without it. If
// the process ends meanwhile, or another takes its pid, the error is
// os.ErrNotExist.
func Discover(pid int, procRoot string) (Process, error) {
	got, err := discover(newProc(pid, procRoot))
	if err != nil {
		return Process{}, fmt.Errorf("examine process %d: %w", pid, err)
	}
	return got, nil
}

func discover(p proc) (Process, error) {
	text, err := p.read("stat")
	if err != nil {
		return Process{}, err
	}
	st, err := parseStat(text)
	if err != nil {
		return Process{}, err
	}
	got := Process{PID: p.pid, Parent: st.parent, Comm: st.comm, StartTime: st.start}
	status, err := p.read("status")
	if err != nil {
		return Process{}, err
	}
	if err := parseStatus(status, &got); err != nil {
		return Process{}, err
	}
	cmdline, err := p.read("cmdline")
	if err != nil {
		return Process{}, err
	}
	if cmdline != "" {
		got.Args = strings.Split(strings.TrimSuffix(cmdline, "\x00"), "\x00")
	}
	// A kernel without cgroups has no such file.
	if cgroup, err := p.read("cgroup"); err == nil {
		got.Cgroup = parseCgroup(cgroup)
	}
	got.Exe, _ = os.Readlink(p.path("exe"))
	got.Cwd, _ = os.Readlink(p.path("cwd"))
	got.NetNS = nsInode(p.path("ns", "net"))
	got.OwnNetNS = got.NetNS != 0 && got.NetNS == nsInode(filepath.Join(p.root, "thread-self", "ns", "net"))
	if !Alive(p.pid, got.StartTime, p.root) {
		return Process{}, fmt.Errorf("ended meanwhile: %w", os.ErrNotExist)
	}
	return got, nil
}

// A Relative is what the kernel tells of a process in one line.
type Relative struct {
	PID, Parent int
	Comm        string
	StartTime   uint64 // in clock ticks since boot
}

// Find looks a process up. If it ended, the error is os.ErrNotExist.
func Find(pid int, procRoot string) (Relative, error) {
	text, err := newProc(pid, procRoot).read("stat")
	if err != nil {
		return Relative{}, fmt.Errorf("examine process %d: %w", pid, err)
	}
	st, err := parseStat(text)
	if err != nil {
		return Relative{}, fmt.Errorf("examine process %d: %w", pid, err)
	}
	return Relative{PID: pid, Parent: st.parent, Comm: st.comm, StartTime: st.start}, nil
}

// Alive tells whether the process pid still is the one that started at
// startTime. A zombie is not alive: it sends nothing.
func Alive(pid int, startTime uint64, procRoot string) bool {
	text, err := newProc(pid, procRoot).read("stat")
	if err != nil {
		return false
	}
	st, err := parseStat(text)
	return err == nil && st.start == startTime && st.state != "Z" && st.state != "X"
}

// Ancestors returns the parent of pid, its parent, and so on: at most limit, the
// nearest first, and pid 1 last. A parent that ended meanwhile ends the list.
func Ancestors(pid, limit int, procRoot string) ([]Relative, error) {
	self, err := Find(pid, procRoot)
	if err != nil {
		return nil, err
	}
	var chain []Relative
	for next := self.Parent; next > 0 && len(chain) < limit; {
		p, err := Find(next, procRoot)
		if errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			return chain, err
		}
		chain = append(chain, p)
		next = p.Parent
	}
	return chain, nil
}

// nsInode returns 0 if the link cannot be read.
func nsInode(path string) uint64 {
	link, err := os.Readlink(path)
	if err != nil {
		return 0
	}
	return bracketed(link, "net:[")
}

// bracketed returns the number in a link such as net:[4026531840], else 0.
func bracketed(link, prefix string) uint64 {
	s, ok := strings.CutPrefix(link, prefix)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(s, "]"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
