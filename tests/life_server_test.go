package tests

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
)

// serverEnds are ends of a client that its server causes.
var serverEnds = []struct {
	cause string
	event event
}{
	{"server-pushed-halt", event{
		server:  openvpn.Server{Extra: []string{"management " + labDir + "/management unix"}},
		happens: func(l *life) { l.halt() },
	}},
	{"inactive", event{
		// The streams are far less than a gigabyte in five seconds.
		server:  openvpn.Server{Push: []string{"inactive 5 1000000000"}},
		happens: func(*life) {},
	}},
	{"ping-exit", event{
		server: openvpn.Server{Push: []string{"ping-exit 3"}},
		// The server's keepalive would win over what it pushes itself.
		client:  openvpn.Client{Extra: []string{`pull-filter ignore "ping-restart"`}},
		happens: func(l *life) { l.killServer(0) },
	}},
	// With a pushed explicit-exit-notify the server's orders look like the
	// end that the user's own SIGTERM has then.
	{"exit-with-notification", event{
		server: openvpn.Server{
			Extra: []string{"management " + labDir + "/management unix"}, Push: []string{"explicit-exit-notify 1"},
		},
		happens: func(l *life) { l.halt() },
	}},
	{"exit-with-notification", event{
		server:  openvpn.Server{Push: []string{"explicit-exit-notify 1", "inactive 5 1000000000"}},
		happens: func(*life) {},
	}},
}

// halt lets the server send its client the order to exit.
func (l *life) halt() {
	l.Helper()
	conn, err := net.Dial("unix", filepath.Join(l.lab.Dir, "management"))
	l.try(err)
	defer conn.Close()
	l.try(conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = fmt.Fprint(conn, "client-kill 0 HALT\n")
	l.try(err)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "SUCCESS: client-kill") {
			return
		}
		if strings.HasPrefix(lines.Text(), "ERROR") {
			l.Fatal(lines.Text())
		}
	}
	l.Fatal("the server's management interface closed")
}

func TestServerThatEndsTheClientDoesNotOpenTheHost(t *testing.T) {
	t.Parallel()
	for _, end := range serverEnds {
		t.Run(end.cause, func(t *testing.T) {
			e := end.event
			e.happens = func(l *life) {
				end.event.happens(l)
				l.ended(0)
				l.away()
			}
			e.test(t, func(l *life) {
				if text := "(" + end.cause + "), which does not open the host; `vpnguard down --dev tun0` does"; !strings.Contains(l.client.Log(), text) {
					t.Errorf("no %q in:\n%s", text, l.client.Log())
				}
				l.orphaned()
				l.must(0, "down")
				l.opened()
			})
		})
	}
}

// Whoever trusts the server can let its stop count as the user's own.
func TestServerThatEndsTheClientOpensTheHostIfConfigured(t *testing.T) {
	t.Parallel()
	for _, end := range serverEnds {
		t.Run(end.cause, func(t *testing.T) {
			e := end.event
			e.prepare = func(l *life) { l.write("/etc/vpnguard/vpnguard.toml", "open_on_server_stop = true\n", 0o644) }
			e.happens = func(l *life) { l.opens(func() { end.event.happens(l) }) }
			e.test(t, func(l *life) {
				if text := "vpnguard: open: " + end.cause; !strings.Contains(l.client.Log(), text) {
					t.Errorf("no %q in:\n%s", text, l.client.Log())
				}
				l.opened()
			})
		})
	}
}
