package blocked

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const testGroup = 30000

// ruleset blocks all that leaves by eth0, in the output chain and, of packet
// sockets, at the egress hook.
const ruleset = `
table inet t {
	chain output {
		type filter hook output priority 0; policy accept;
		oifname "eth0" udp dport 7 log prefix "vpnguard out-udp" group 30000 drop
		oifname "eth0" tcp dport 7 log prefix "vpnguard out-tcp" group 30000 drop
		oifname "eth0" icmp type echo-request log prefix "vpnguard out-ping" group 30000 drop
		oifname "eth0" icmpv6 type echo-request log prefix "vpnguard out-ping" group 30000 drop
		oifname "eth0" udp dport 9 log prefix "somebody else's" group 30000 drop
	}
}
table netdev t {
	chain egress {
		type filter hook egress device "eth0" priority 0; policy accept;
		meta protocol 0x88b5 log prefix "vpnguard fence-odd" group 30000 drop
		udp dport 8 log prefix "vpnguard fence-udp" group 30000 drop
	}
}
`

// wired makes a wire with addresses, and the rules.
func wired(t *testing.T) {
	t.Helper()
	for _, c := range []struct{ program, script string }{
		{"ip -batch -", `link add eth0 type veth peer name far0
link set eth0 up
link set far0 up
addr add 192.0.2.1/24 dev eth0
addr add 2001:db8::1/64 dev eth0 nodad
neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0
neigh add 2001:db8::2 lladdr 02:00:00:00:00:02 dev eth0
`},
		{"nft -f -", ruleset},
	} {
		words := strings.Fields(c.program)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stdin = strings.NewReader(c.script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.program, err, out)
		}
	}
	t.Cleanup(func() {
		_ = exec.Command("nft", "delete table inet t; delete table netdev t").Run()
		_ = exec.Command("ip", "link", "del", "eth0").Run()
	})
}

func listen(t *testing.T) *Listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	l, err := Listen(ctx, testGroup)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = l.Close() })
	return l
}

func next(t *testing.T, l *Listener) Event {
	t.Helper()
	e, err := l.Next()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// bound in a socket's kind binds it to eth0.
const bound = 1 << 20

func socket(t *testing.T, domain, kind, proto int, to unix.Sockaddr, data string) {
	t.Helper()
	fd, err := unix.Socket(domain, kind&^bound|unix.SOCK_NONBLOCK, proto)
	if err == nil && kind&bound != 0 {
		err = unix.BindToDevice(fd, "eth0")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if kind == unix.SOCK_STREAM {
		err = unix.Connect(fd, to)
	} else {
		err = unix.Sendto(fd, []byte(data), 0, to)
	}
	if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EINPROGRESS) && !errors.Is(err, unix.ENOBUFS) {
		t.Fatal(err)
	}
}

func TestListenerTellsWhoTriedWhat(t *testing.T) {
	wired(t)
	l := listen(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	index, err := net.InterfaceByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	dst4, dst6 := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2")
	in4 := func(port int) unix.Sockaddr { return &unix.SockaddrInet4{Addr: dst4.As4(), Port: port} }
	in6 := func(port int) unix.Sockaddr { return &unix.SockaddrInet6{Addr: dst6.As16(), Port: port} }
	mapped := func(port int) unix.Sockaddr {
		return &unix.SockaddrInet6{Addr: netip.AddrFrom16(dst4.As16()).As16(), Port: port}
	}
	echo := func(kind byte) string { return string([]byte{kind, 0, 0, 0, 0, 0, 0, 1}) }
	for _, c := range []struct {
		name         string
		domain, kind int
		proto        int
		to           unix.Sockaddr
		data         string
		rule, hook   string
		protocol     string
		dst          netip.Addr
		port         uint16
		program      bool
	}{
		{"udp", unix.AF_INET, unix.SOCK_DGRAM, 0, in4(7), "x", "out-udp", "output", "udp", dst4, 7, true},
		{"udp6", unix.AF_INET6, unix.SOCK_DGRAM, 0, in6(7), "x", "out-udp", "output", "udp", dst6, 7, true},
		{"udp4 of a socket of IPv6", unix.AF_INET6, unix.SOCK_DGRAM, 0, mapped(7), "x", "out-udp", "output", "udp", dst4, 7, true},
		{"udp bound to the wire", unix.AF_INET, unix.SOCK_DGRAM | bound, 0, in4(7), "x", "out-udp", "output", "udp", dst4, 7, true},
		{"tcp", unix.AF_INET, unix.SOCK_STREAM, 0, in4(7), "", "out-tcp", "output", "tcp", dst4, 7, true},
		{"tcp6", unix.AF_INET6, unix.SOCK_STREAM, 0, in6(7), "", "out-tcp", "output", "tcp", dst6, 7, true},
		{"raw icmp", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP, in4(0), echo(8), "out-ping", "output", "icmp", dst4, 0, true},
		{"raw icmp6", unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6, in6(0), echo(128), "out-ping", "output", "icmpv6", dst6, 0, true},
		{"the fence, of udp", unix.AF_INET, unix.SOCK_DGRAM, 0, in4(8), "x", "fence-udp", "egress", "udp", dst4, 8, true},
		{"the fence, of udp6", unix.AF_INET6, unix.SOCK_DGRAM, 0, in6(8), "x", "fence-udp", "egress", "udp", dst6, 8, true},
		{"the fence, of a packet socket", unix.AF_PACKET, unix.SOCK_RAW, 0, &unix.SockaddrLinklayer{Ifindex: index.Index, Protocol: 0xb588},
			"\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5hello", "fence-odd", "egress", "ether 0x88b5", netip.Addr{}, 0, false},
	} {
		// Somebody else's message goes before and must not come.
		socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0, in4(9), "y")
		before := time.Now()
		socket(t, c.domain, c.kind, c.proto, c.to, c.data)
		e := next(t, l)
		if e.Rule != c.rule || e.Hook != c.hook || e.Protocol() != c.protocol || e.Dst != c.dst || e.DstPort != c.port || e.Out != "eth0" || e.In != "" || e.Lost != 0 {
			t.Errorf("%s: %+v", c.name, e)
		}
		if e.UID == nil || *e.UID != 0 || e.GID == nil {
			t.Errorf("%s: uid %v, gid %v", c.name, e.UID, e.GID)
		}
		if late := time.Since(before); late > 500*time.Millisecond || e.Time.Before(before.Add(-time.Second)) || e.Time.After(time.Now().Add(time.Second)) {
			t.Errorf("%s: heard of after %v, at %v", c.name, late, e.Time)
		}
		if c.program && (e.PID != os.Getpid() || e.Program != exe) {
			t.Errorf("%s: process %d %q, want %d %q", c.name, e.PID, e.Program, os.Getpid(), exe)
		}
		if !c.program && (e.PID != 0 || e.Program != "") {
			t.Errorf("%s: process %d %q, which nobody can know", c.name, e.PID, e.Program)
		}
	}
}

func TestSecondListenerIsToldWhoTheFirstIs(t *testing.T) {
	wired(t)
	listen(t)
	_, err := Listen(context.Background(), testGroup)
	var busy *BusyError
	if !errors.As(err, &busy) || busy.Group != testGroup || busy.PID != os.Getpid() || !strings.Contains(err.Error(), "listens on nflog group 30000") {
		t.Errorf("second listener: %v", err)
	}
}

func TestGroupIsFreeAgainAfterClose(t *testing.T) {
	for range 3 {
		l, err := Listen(context.Background(), testGroup)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNextEndsWithItsContextAndWithClose(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	l, err := Listen(ctx, testGroup)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if e, err := l.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", e, err)
	}
	l, err = Listen(context.Background(), testGroup)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = l.Close() })
	if e, err := l.Next(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%+v, %v", e, err)
	}
}

// A listener that sleeps while a flood comes loses events and knows how many.
func TestLostEventsAreCountedAndAreNoError(t *testing.T) {
	wired(t)
	l := listen(t)
	const sent = 50000
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 2}, Port: 7}
	for range sent {
		if err := unix.Sendto(fd, []byte("x"), 0, to); err != nil && !errors.Is(err, unix.EPERM) {
			t.Fatal(err)
		}
	}
	var heard, lost uint64
	// Each event before the last one of this batch was heard or is a gap.
	for heard+lost < sent {
		if l.conn.SetReadDeadline(time.Now().Add(300*time.Millisecond)) != nil {
			t.Fatal("no deadline")
		}
		e, err := l.Next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0, to, "x") // tells of the gap at the end
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		heard++
		lost += e.Lost
	}
	t.Logf("of %d events %d were heard and %d lost", sent, heard, lost)
	if lost == 0 || heard == 0 || l.Lost() != lost {
		t.Errorf("heard %d, lost %d, the listener counts %d", heard, lost, l.Lost())
	}
}

// The tables are what is left where the kernel cannot be asked.
func TestTablesAndTheKernelNameTheSameSocket(t *testing.T) {
	wired(t)
	l := listen(t)
	for _, port := range []int{7, 9, 7, 7} {
		socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0, &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 2}, Port: port}, "x")
	}
	for range 3 {
		e := next(t, l)
		asked, known := l.finder.diag.find(e)
		if listed := l.finder.search(e, socketTables(e), e.SrcPort); !known || asked == 0 || asked != listed {
			t.Errorf("asked %d (%t), listed %d", asked, known, listed)
		}
		e.SrcPort++
		if asked, known := l.finder.diag.find(e); !known || asked != 0 {
			t.Errorf("of a port without a socket: %d (%t)", asked, known)
		}
	}
}

func TestDiagBelievesOnlyTheSocketOfThePacket(t *testing.T) {
	uid := uint32(1000)
	e := Event{Proto: protoUDP, SrcPort: 0x1234, UID: &uid}
	answer := make([]byte, diagMessage)
	binary.BigEndian.PutUint16(answer[4:], 0x1234)
	binary.NativeEndian.PutUint32(answer[64:], 1000)
	binary.NativeEndian.PutUint32(answer[68:], 77)
	if got := diagAnswer(answer, e); got != 77 {
		t.Errorf("inode %d", got)
	}
	for name, at := range map[string]int{"another port": 4, "another uid": 64} {
		wrong := append([]byte(nil), answer...)
		wrong[at]++
		if got := diagAnswer(wrong, e); got != 0 {
			t.Errorf("%s: inode %d", name, got)
		}
	}
	for n := range diagMessage {
		if got := diagAnswer(answer[:n], e); got != 0 {
			t.Errorf("%d bytes: inode %d", n, got)
		}
	}
}
