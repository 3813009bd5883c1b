package blocked

import (
	"bufio"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What looking for programs may cost: a share of the time, with some saved for
// a burst. Under a flood most events then have no program.
const (
	findShare = 5                      // one part of so many
	findSaved = 200 * time.Millisecond // at most
	// findTime is how long an answer is believed: ports are used again.
	findTime = 2 * time.Second
	// findKept bounds the answers kept.
	findKept = 512
)

// finder finds the process behind a packet by the socket that it was sent from.
type finder struct {
	root   string // of /proc
	now    func() time.Time
	known  map[source]answer
	saved  time.Duration
	as     time.Time // when saved was counted
	recent []int     // processes found lately, the last one first
	diag   diag
}

// source is what the packets of one socket have in common.
type source struct {
	proto uint8
	addr  string
	port  uint16
	echo  uint16
	uid   uint32
}

type answer struct {
	pid     int
	program string
	until   time.Time
}

func newFinder(root string) *finder {
	return &finder{root: root, now: time.Now, known: map[source]answer{}, saved: findSaved}
}

// find returns 0 and "" if the socket is closed already, if it may be one of
// several, if the process belongs to another user and may not be looked at, or
// if looking would cost too much now.
func (f *finder) find(e Event) (pid int, program string) {
	if e.UID == nil || !e.Src.IsValid() {
		return 0, ""
	}
	now := f.now()
	key := source{e.Proto, e.Src.String(), e.SrcPort, e.echo, *e.UID}
	if a, ok := f.known[key]; ok && now.Before(a.until) {
		return a.pid, a.program
	}
	if !f.affordable(now) {
		return 0, ""
	}
	a := answer{until: now.Add(findTime)}
	if inode := f.socket(e); inode != 0 {
		a.pid = f.holder(inode)
		a.program = f.program(a.pid)
	}
	if len(f.known) >= findKept {
		clear(f.known)
	}
	f.known[key] = a
	f.saved -= f.now().Sub(now)
	return a.pid, a.program
}

func (f *finder) affordable(now time.Time) bool {
	if passed := now.Sub(f.as); passed > 0 {
		f.saved = min(findSaved, f.saved+min(passed, time.Minute)/findShare)
	}
	f.as = now
	return f.saved > 0
}

// guesses is how many of the youngest processes are looked at before all are listed.
const guesses = 32

// holder returns the process that has the socket open; 0 if none is found.
// Those found lately are looked at first, then young ones: what is blocked is
// often short-lived.
func (f *finder) holder(inode uint64) int {
	want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	for _, pid := range f.recent {
		if f.holds(pid, want) {
			return pid
		}
	}
	youngest := f.youngest()
	for pid := youngest; pid > max(0, youngest-guesses); pid-- {
		if f.holds(pid, want) {
			return f.remember(f.process(pid))
		}
	}
	dir, err := os.Open(f.root)
	if err != nil {
		return 0
	}
	defer dir.Close()
	entries, _ := dir.Readdirnames(-1)
	var pids []int
	for _, name := range entries {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	slices.Reverse(pids)
	for _, pid := range pids {
		if f.holds(pid, want) {
			return f.remember(pid)
		}
	}
	return 0
}

func (f *finder) remember(pid int) int {
	const recent = 8
	f.recent = append([]int{pid}, f.recent[:min(len(f.recent), recent-1)]...)
	return pid
}

// process is the process of a thread: their numbers are of one kind, and a
// thread has its process's files.
func (f *finder) process(thread int) int {
	text, _ := os.ReadFile(filepath.Join(f.root, strconv.Itoa(thread), "status"))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "Tgid:"); ok {
			if pid, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
				return pid
			}
		}
	}
	return thread
}

// youngest is the number given last to a process or thread; 0 if it cannot be read.
func (f *finder) youngest() int {
	text, err := os.ReadFile(filepath.Join(f.root, "loadavg"))
	field := strings.Fields(string(text))
	if err != nil || len(field) < 5 {
		return 0
	}
	pid, _ := strconv.Atoi(field[4])
	return pid
}

func (f *finder) holds(pid int, want string) bool {
	path := filepath.Join(f.root, strconv.Itoa(pid), "fd")
	dir, err := os.Open(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if link, err := os.Readlink(filepath.Join(path, name)); err == nil && link == want {
			return true
		}
	}
	return false
}

func (f *finder) program(pid int) string {
	if pid == 0 {
		return ""
	}
	path := filepath.Join(f.root, strconv.Itoa(pid))
	if exe, err := os.Readlink(filepath.Join(path, "exe")); err == nil {
		return strings.TrimSuffix(exe, " (deleted)")
	}
	name, _ := os.ReadFile(filepath.Join(path, "comm"))
	return strings.TrimSuffix(string(name), "\n")
}

// busy names who listens on the group; nil if nobody does, as far as can be read.
func (f *finder) busy(group uint16) *BusyError {
	for field := range f.table("netfilter/nfnetlink_log") {
		if len(field) < 2 || field[0] != strconv.Itoa(int(group)) {
			continue
		}
		busy := &BusyError{Group: group}
		// Columns of /proc/net/netlink: sk, protocol, port, ..., inode.
		for s := range f.table("netlink") {
			if len(s) >= 10 && s[1] == netfilterProtocol && s[2] == field[1] {
				if inode, err := strconv.ParseUint(s[9], 10, 64); err == nil {
					busy.PID = f.holder(inode)
					busy.Program = f.program(busy.PID)
				}
			}
		}
		return busy
	}
	return nil
}

// netfilterProtocol is NETLINK_NETFILTER in /proc/net/netlink.
const netfilterProtocol = "12"

// table reads a file of the network namespace that this thread is in, as the
// fields of its lines; none if it cannot be read. The file may be long: a line
// is read at a time.
func (f *finder) table(name string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		file, err := os.Open(filepath.Join(f.root, "thread-self", "net", name))
		if err != nil {
			return
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			if !yield(strings.Fields(lines.Text())) {
				return
			}
		}
	}
}
