package uapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// device remembers what it was told.
type device struct {
	export tunnel.Export
	failed error
	told   []tunnel.Change
}

func (d *device) Export() (tunnel.Export, error) { return d.export, d.failed }

func (d *device) Apply(c tunnel.Change) error {
	if d.failed == nil {
		d.told = append(d.told, c)
	}
	return d.failed
}

func admitted(net.Conn) error { return nil }

// serve runs s and returns a way to call it.
func serve(t *testing.T, s *Server) func() net.Conn {
	t.Helper()
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
}

// ask sends text, closes that direction and returns all that is said.
func ask(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Fatal(err)
	}
	return string(got)
}

func TestGetTellsAllAndOurClientKeepsNoSecret(t *testing.T) {
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	psk, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := key.Public{1}, key.Public{2}
	st := tunnel.Status{Public: public, ListenPort: 51820, FwMark: 7, Peers: []engine.PeerStatus{
		{Public: a, Preshared: true, Endpoint: netip.MustParseAddrPort("[2001:db8::1]:9"), Keepalive: 25 * time.Second, LastHandshake: time.Unix(1_700_000_000, 5), RxBytes: 1 << 40, TxBytes: 3,
			Allowed: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::/0")}},
		{Public: b},
	}}
	call := serve(t, &Server{Device: &device{export: tunnel.Export{Status: st, Private: private, Preshared: map[key.Public]key.Preshared{a: psk}}}, Admit: admitted})
	c := call()
	defer c.Close()
	for range 2 { // a connection serves several requests
		got, err := Get(c)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(st, got, equal); diff != "" {
			t.Error(diff)
		}
	}
	text := ask(t, call(), "get=1\n\n")
	secret, shared := private.Bytes(), psk.Bytes()
	for _, line := range []string{fmt.Sprintf("private_key=%x\n", secret), fmt.Sprintf("preshared_key=%x\n", shared), "protocol_version=1\n", "errno=0\n\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no %.13q in the answer", line)
		}
	}
	if strings.Count(text, "preshared_key=") != 1 {
		t.Error("a peer without a preshared key has one")
	}
}

func TestSetAsksForPermissionFirst(t *testing.T) {
	d := &device{}
	var asked, settled int
	var log []string
	s := &Server{Device: d, Admit: admitted, Log: func(err error) { log = append(log, err.Error()) }, Settled: func(tunnel.Change, error) { settled++ }}
	s.Permit = func(c tunnel.Change) error {
		asked++
		if e := c.Endpoints(); len(e) > 0 && e[0].Port() == 1 {
			return errors.New("the seal does not let it pass")
		}
		return nil
	}
	call := serve(t, s)
	set := func(port uint16) error {
		end := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port)
		c := call()
		defer c.Close()
		return Set(c, tunnel.Change{Change: engine.Change{Peers: []engine.PeerChange{{Public: key.Public{1}, Endpoint: &end}}}})
	}
	if err := set(1); !errors.Is(err, unix.EPERM) || len(d.told) != 0 || settled != 0 {
		t.Errorf("%v, told %v, settled %d", err, d.told, settled)
	}
	if err := set(2); err != nil || len(d.told) != 1 || asked != 2 || settled != 1 {
		t.Errorf("%v, told %v, asked %d, settled %d", err, d.told, asked, settled)
	}
	if want := "set: the seal does not let it pass; nothing was changed"; len(log) != 1 || log[0] != want {
		t.Errorf("log %q", log)
	}
	d.failed = fmt.Errorf("bind: %w", unix.EADDRINUSE)
	if err := set(2); !errors.Is(err, unix.EADDRINUSE) || settled != 2 {
		t.Errorf("%v, settled %d", err, settled)
	}
}

func TestErrorsBecomeNumbers(t *testing.T) {
	for _, c := range []struct {
		text   string
		failed error
		permit func(tunnel.Change) error
		want   string
	}{
		{"set=1\n\n", nil, Any, "errno=0\n\n"},
		{"set=1\n\n", nil, nil, "errno=-1\n\n"},
		{"set=1\n\n", nil, func(tunnel.Change) error { return unix.EBUSY }, "errno=-16\n\n"},
		{"set=1\n\n", os.ErrPermission, Any, "errno=-1\n\n"},
		{"set=1\n\n", errors.New("x"), Any, "errno=-22\n\n"},
		{"set=1\n\n", tunnel.ErrClosed, Any, "errno=-19\n\n"},
		{"get=1\n\n", tunnel.ErrClosed, Any, "errno=19\n\n"},
		{"nonsense\nmore\n\nset=1\n\n", nil, Any, "errno=-22\n\nerrno=0\n\n"}, // the next request is found
		{"set=1\nfwmark=x\nlisten_port=1\n\nset=1\n\n", nil, Any, "errno=-22\n\nerrno=0\n\n"},
		{"set=1\n" + strings.Repeat("x", 300) + "\n\nset=1\n\n", nil, Any, "errno=-22\n\n"},
		{"set=1\nfwmark=1\n", nil, Any, ""},
	} {
		d := &device{failed: c.failed}
		if got := ask(t, serve(t, &Server{Device: d, Admit: admitted, Permit: c.permit})(), c.text); got != c.want {
			t.Errorf("%.40q with %v: %q, want %q", c.text, c.failed, got, c.want)
		}
		if c.want == "" && len(d.told) != 0 {
			t.Errorf("half a request %q was done", c.text)
		}
	}
}

func TestOnlyRootIsServed(t *testing.T) {
	pair := func() (net.Conn, net.Conn) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		var out [2]net.Conn
		for i, fd := range fds {
			f := os.NewFile(uintptr(fd), "pair")
			if out[i], err = net.FileConn(f); err != nil {
				t.Fatal(err)
			}
			f.Close()
			t.Cleanup(func() { out[i].Close() })
		}
		return out[0], out[1]
	}
	c, _ := pair()
	if err := Root(c); err != nil { // the laboratory's root is uid 0 here
		t.Errorf("root: %v", err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if err := Root(a); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a caller that nobody knows: %v", err)
	}
	// A socket of another uid: its credentials are taken when it connects.
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for p := path; p != "/"; p = p[:max(1, strings.LastIndexByte(p, '/'))] {
		_ = os.Chmod(p, 0o777)
	}
	connected := make(chan error, 1)
	go func() { connected <- connectAs(4711, path) }()
	got, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if err := <-connected; err != nil {
		t.Fatal(err)
	}
	if err := Root(got); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "uid 4711") {
		t.Errorf("another user: %v", err)
	}
}

// connectAs connects from a thread that has another uid and ends with it.
func connectAs(uid int, path string) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the thread ends with its goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			result <- errno
			return
		}
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
			_ = syscall.Close(fd)
		}
		result <- err
	}()
	return <-result
}
