package udp

import (
	"bytes"
	"errors"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Answers leave from the address that was called, single and in runs, on sockets
// of one family and of both; the control is what the routes prefer.
func TestAnswersLeaveFromTheAddressThatWasCalled(t *testing.T) {
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"addr", "add", "fd00::5/128", "dev", "lo", "nodad"}, {"addr", "add", "fd00::6/128", "dev", "lo", "nodad"}} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %q: %v: %s", args, err, out)
		}
	}
	// The kernel adds the local routes of IPv6 addresses some time after them.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		local, err := exec.Command("ip", "-6", "route", "show", "table", "local").CombinedOutput()
		if bytes.Contains(local, []byte("fd00::5 ")) && bytes.Contains(local, []byte("fd00::6 ")) {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("no local routes: %v: %s", err, local)
		}
	}
	for name, c := range map[string]struct {
		family int
		has    Offload
		called string
	}{
		"IPv4 alone":               {unix.AF_INET, All, "127.0.0.5"},
		"IPv4 alone, no offload":   {unix.AF_INET, Offload{}, "127.0.0.5"},
		"IPv4 on both":             {unix.AF_INET6, All, "127.0.0.5"},
		"IPv4 on both, no offload": {unix.AF_INET6, Offload{}, "127.0.0.5"},
		"IPv6, the first address":  {unix.AF_INET6, All, "fd00::5"},
		"IPv6, the second address": {unix.AF_INET6, All, "fd00::6"},
		"IPv6, second, no offload": {unix.AF_INET6, Offload{}, "fd00::6"},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := newSocket(t, c.family, c.has), newSocket(t, c.family, c.has)
			port, err := server.Port()
			if err != nil {
				t.Fatal(err)
			}
			called := netip.MustParseAddr(c.called)
			loopback := netip.MustParseAddr("127.0.0.1")
			if called.Is6() {
				loopback = netip.IPv6Loopback()
			}
			run := bytes.Repeat([]byte{7}, 2500) // 1000, 1000, 500
			if err := client.Send(loopback, netip.AddrPortFrom(called, port), run, 1000); err != nil {
				t.Fatal(err)
			}
			back, at := arrive(t, server, len(run))
			if at != called {
				t.Fatalf("arrived at %v, want %v", at, called)
			}
			seen := func(from netip.Addr) netip.Addr {
				t.Helper()
				if err := server.Send(from, back, run, 1000); err != nil {
					t.Fatal(err)
				}
				peer, _ := arrive(t, client, len(run))
				return peer.Addr()
			}
			if got := seen(at); got != called {
				t.Errorf("answered from %v, want %v", got, called)
			}
			// One that is gone is no reason to be silent.
			for _, gone := range []string{"192.0.2.77", "2001:db8::77"} {
				if got := seen(netip.MustParseAddr(gone)); !got.IsValid() || got == netip.MustParseAddr(gone) {
					t.Errorf("an address that is gone: answered from %v", got)
				}
			}
			if server.Has() != c.has {
				t.Errorf("an address that is gone cost an offload: %+v", server.Has())
			}
			if got := seen(at); got != called {
				t.Errorf("afterwards answered from %v, want %v", got, called)
			}
			if plain := seen(netip.Addr{}); plain != loopback {
				t.Errorf("the control: the routes prefer %v, want %v", plain, loopback)
			}
			if n := testing.AllocsPerRun(100, func() {
				if err := server.Send(at, back, run, 1000); err != nil {
					t.Fatal(err)
				}
			}); n > 0 {
				t.Errorf("%v allocations to send a run", n)
			}
		})
	}
}

func newSocket(t *testing.T, family int, want Offload) *Socket {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &Socket{fd: fd, v6: family == unix.AF_INET6}
	t.Cleanup(func() { s.Close() })
	if err := s.setUp(0, 0, want); err != nil {
		t.Fatal(err)
	}
	return s
}

// arrive takes all bytes, from one place and at one address.
func arrive(t *testing.T, s *Socket, want int) (from netip.AddrPort, at netip.Addr) {
	t.Helper()
	buf := make([]byte, Buffer)
	for got, deadline := 0, time.Now().Add(time.Minute); got < want; {
		f, a, n, size, ok, err := s.Receive(buf)
		if err != nil || time.Now().After(deadline) {
			t.Fatal(errors.Join(err, errors.New("nothing arrives")))
		}
		if !ok {
			time.Sleep(time.Millisecond)
			continue
		}
		if got > 0 && (f != from || a != at) || size > 1000 {
			t.Fatalf("from %v at %v, and then from %v at %v, of %d bytes each", from, at, f, a, size)
		}
		from, at, got = f, a, got+n
	}
	return from, at
}
