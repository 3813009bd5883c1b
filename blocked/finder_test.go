package blocked

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// machine is a /proc of files.
func machine(t *testing.T) (root string, write func(path, text string), link func(path, to string)) {
	t.Helper()
	root = t.TempDir()
	make := func(path string) string {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write = func(path, text string) {
		t.Helper()
		if err := os.WriteFile(make(path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link = func(path, to string) {
		t.Helper()
		if err := os.Symlink(to, make(path)); err != nil {
			t.Fatal(err)
		}
	}
	return root, write, link
}

const columns = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// line is one socket, its addresses in the host's byte order.
func line(local, remote string, uid, inode int) string {
	hex := func(s string) (text string) {
		a := netip.MustParseAddrPort(s)
		for b := range slices.Chunk(a.Addr().AsSlice(), 4) {
			text += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(b))
		}
		return fmt.Sprintf("%s:%04X", text, a.Port())
	}
	local, remote = hex(local), hex(remote)
	return fmt.Sprintf("   0: %s %s 07 00000000:00000000 00:00000000 00000000 %5d        0 %d 2 0000000000000000 0\n", local, remote, uid, inode)
}

func sender(uid uint32, port uint16) Event {
	return Event{EtherType: etherIPv4, Proto: protoUDP, Src: netip.MustParseAddr("127.0.0.1"), SrcPort: port, Dst: netip.MustParseAddr("127.0.0.2"), DstPort: 53, UID: &uid}
}

func TestFinderTakesTheSocketThatSent(t *testing.T) {
	root, write, link := machine(t)
	write("thread-self/net/udp", columns+
		line("127.0.0.1:5000", "127.0.0.2:53", 1000, 11)+ // connected
		line("0.0.0.0:5000", "0.0.0.0:0", 1000, 12)+ // may send anywhere
		line("0.0.0.0:5001", "0.0.0.0:0", 1000, 13)+
		line("0.0.0.0:5002", "0.0.0.0:0", 1000, 14)+ // two that may
		line("127.0.0.1:5002", "0.0.0.0:0", 1000, 15)+
		line("127.0.0.3:5003", "0.0.0.0:0", 1000, 16)+ // another address
		line("127.0.0.1:5003", "127.0.0.3:53", 1000, 17)+ // another destination
		line("127.0.0.1:5004", "0.0.0.0:0", 1000, 0)+ // closed
		"nonsense\n"+line("127.0.0.1:5005", "0.0.0.0:0", 1000, 99)+ // nobody has it
		line("127.0.0.1:5006", "0.0.0.0:0", 1000, 18))
	write("thread-self/net/udp6", columns+line("[::]:5007", "[::]:0", 1000, 19))
	write("thread-self/net/raw", columns+line("0.0.0.0:1", "0.0.0.0:0", 0, 20))
	for pid, inode := range map[int]int{201: 11, 202: 12, 203: 13, 204: 14, 205: 15, 206: 16, 207: 17, 209: 19, 210: 20} {
		link(fmt.Sprintf("%d/fd/3", pid), fmt.Sprintf("socket:[%d]", inode))
		link(fmt.Sprintf("%d/fd/4", pid), "/dev/null")
		link(fmt.Sprintf("%d/exe", pid), fmt.Sprintf("/bin/p%d", pid))
	}
	link("208/fd/3", "socket:[18]")
	write("208/comm", "named\n")
	ping := sender(0, 0)
	ping.Proto, ping.echo = protoICMP, 77
	noSocket := sender(1000, 5000)
	noSocket.UID = nil
	for _, c := range []struct {
		name    string
		e       Event
		pid     int
		program string
	}{
		{"connected before loose", sender(1000, 5000), 201, "/bin/p201"},
		{"loose", sender(1000, 5001), 203, "/bin/p203"},
		{"one of several", sender(1000, 5002), 0, ""},
		{"neither address fits", sender(1000, 5003), 0, ""},
		{"closed", sender(1000, 5004), 0, ""},
		{"held by nobody", sender(1000, 5005), 0, ""},
		{"no path", sender(1000, 5006), 208, "named"},
		{"a socket of IPv6", sender(1000, 5007), 209, "/bin/p209"},
		{"another user", sender(1001, 5001), 0, ""},
		{"no port", sender(1000, 0), 0, ""},
		{"no socket", noSocket, 0, ""},
		{"a raw socket", ping, 210, "/bin/p210"},
	} {
		if pid, program := newFinder(root).find(c.e); pid != c.pid || program != c.program {
			t.Errorf("%s: %d %q, want %d %q", c.name, pid, program, c.pid, c.program)
		}
	}
}

func TestFinderBelievesAnAnswerForAWhile(t *testing.T) {
	root, write, link := machine(t)
	write("thread-self/net/udp", columns+line("0.0.0.0:5001", "0.0.0.0:0", 1000, 13))
	link("203/fd/3", "socket:[13]")
	link("203/exe", "/bin/p203 (deleted)")
	f := newFinder(root)
	now := time.Now()
	f.now = func() time.Time { return now }
	if pid, program := f.find(sender(1000, 5001)); pid != 203 || program != "/bin/p203" {
		t.Fatalf("%d %q", pid, program)
	}
	if err := os.Remove(filepath.Join(root, "thread-self/net/udp")); err != nil {
		t.Fatal(err)
	}
	if pid, _ := f.find(sender(1000, 5001)); pid != 203 {
		t.Errorf("at once: %d", pid)
	}
	now = now.Add(findTime + time.Second)
	if pid, _ := f.find(sender(1000, 5001)); pid != 0 {
		t.Errorf("later: %d", pid)
	}
}

func TestFinderSpendsAShareOfTheTime(t *testing.T) {
	root, _, _ := machine(t)
	f := newFinder(root)
	now := time.Now()
	f.now = func() time.Time { // each look costs 10 ms
		now = now.Add(5 * time.Millisecond)
		return now
	}
	looked := 0
	start := now
	for i := range 10000 {
		before := f.saved
		f.find(sender(1000, uint16(i+1)))
		if f.saved < before {
			looked++
		}
		if len(f.known) > findKept {
			t.Fatalf("%d answers kept", len(f.known))
		}
	}
	if spent, passed := time.Duration(looked)*5*time.Millisecond, now.Sub(start); looked == 0 || spent > passed/findShare+2*findSaved {
		t.Errorf("%d looks, %v of %v", looked, spent, passed)
	}
}

func TestFinderLooksAtYoungProcessesFirst(t *testing.T) {
	root, write, link := machine(t)
	write("loadavg", "0.00 0.01 0.05 1/123 4242\n")
	link("4240/fd/7", "socket:[13]")
	write("4240/status", "Name:\tyoung\nTgid:\t4239\nPid:\t4240\n") // a thread
	link("12/fd/7", "socket:[14]")
	link("9999/fd/7", "socket:[15]") // before the numbers began anew
	f := newFinder(root)
	if f.youngest() != 4242 {
		t.Errorf("youngest: %d", f.youngest())
	}
	for inode, pid := range map[uint64]int{13: 4239, 14: 12, 15: 9999, 16: 0} {
		if got := f.holder(inode); got != pid {
			t.Errorf("socket %d: process %d, want %d", inode, got, pid)
		}
	}
	write("loadavg", "nonsense")
	if f.youngest() != 0 {
		t.Errorf("of nonsense: %d", f.youngest())
	}
}
