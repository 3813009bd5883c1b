package tests

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/owner"
)

// droppedUID is nobody, to whom OpenVPN drops.
const droppedUID = 65534

// dropping is a client that gives its privileges up.
func dropping(t *testing.T, extra ...string) event {
	if lab.SingleUID() {
		t.Skip("only root exists here: an ordinary user without newuidmap cannot give openvpn another uid")
	}
	return event{client: openvpn.Client{User: "nobody", PersistTun: true, Extra: extra}, kept: true}
}

// owns demands the uid of the client's carrier socket.
func (l *life) owns(uid uint32) {
	l.Helper()
	found, err := owner.Sockets(l.client.PID(), "")
	l.try(err)
	// The kernel's table may show a socket twice while others come and go.
	if len(found.Sockets) == 0 || slices.ContainsFunc(found.Sockets, func(s owner.Socket) bool { return s.UID != uid }) {
		l.Fatalf("sockets of openvpn: %+v, want one of uid %d", found.Sockets, uid)
	}
}

// whereby are the two ways to open a host that its client could not.
var whereby = map[string][]string{"down": {"down", "--dev", "tun0"}, "recover": {"recover"}}

func TestClientWithoutPrivilegesReconnectsAndCannotOpen(t *testing.T) {
	t.Parallel()
	for name, open := range whereby {
		t.Run(name, func(t *testing.T) {
			e := dropping(t)
			e.happens = func(l *life) {
				l.owns(0)
				l.signal(syscall.SIGUSR1)
				l.away()
				l.up(2)
				l.owns(droppedUID)
				if l.guarded {
					l.works()
					if uids := l.view().Sessions[0].Owner.UIDs; !slices.Equal(uids, []int{0, droppedUID}) {
						l.Errorf("owner: %v", uids)
					}
				}
				l.signal(syscall.SIGTERM)
				if l.guarded {
					l.ended(1) // a failed `down` is fatal
				} else {
					l.ended(0)
				}
				l.away()
			}
			e.test(t, func(l *life) {
				for _, text := range []string{
					"the host stays closed: the client gave up its privileges before this `down`; as root: vpnguard down --dev tun0",
					"external program exited with error status: 4",
				} {
					if !strings.Contains(l.client.Log(), text) {
						t.Errorf("no %q in:\n%s", text, l.client.Log())
					}
				}
				l.orphaned()
				l.must(0, open...)
				l.opened()
			})
		})
	}
}

// orphaned demands a closed host that says that its client is gone.
func (l *life) orphaned() {
	l.Helper()
	v := l.is("connecting")
	gone := fmt.Sprintf("its client (pid %d) is gone; the host stays closed until", l.client.PID())
	if !slices.ContainsFunc(v.Notes, func(n string) bool { return strings.Contains(n, gone) }) {
		l.Errorf("no note says %q: %q", gone, v.Notes)
	}
	if text, _ := l.must(0, "status"); !strings.Contains(text, gone) {
		l.Errorf("status does not say %q:\n%s", gone, text)
	}
}

// The server gives another address: OpenVPN makes its tunnel anew and calls
// `up` as nobody, who may not seal it.
func TestSecondUpWithoutPrivilegesFailsClosed(t *testing.T) {
	t.Parallel()
	e := dropping(t)
	e.happens = func(l *life) {
		l.killServer(0)
		l.event.server.Number = 3 // another tunnel network at the same endpoint
		l.reviveServer(0)
		l.signal(syscall.SIGUSR1)
		if l.guarded {
			l.ended(1)
		} else {
			l.up(2)
		}
		l.away()
	}
	e.test(t, func(l *life) {
		for _, text := range []string{
			"the client ends or restarts (UNKNOWN), which does not open the host",
			"vpnguard: hint: run it as root, or with CAP_NET_ADMIN",
			"external program exited with error status: 4",
		} {
			if !strings.Contains(l.client.Log(), text) {
				t.Errorf("no %q in:\n%s", text, l.client.Log())
			}
		}
		l.orphaned()
		l.must(0, "recover")
		l.opened()
	})
}

// The down-root plugin has all privileges and no cause: whether the user
// stopped the client or the server did, it cannot tell.
func TestDownRootPluginStaysClosed(t *testing.T) {
	const plugin = "/usr/lib/openvpn/openvpn-plugin-down-root.so"
	if _, err := os.Stat(plugin); err != nil {
		t.Skipf("Debian's openvpn package has it, this host does not: %v", err)
	}
	e := dropping(t, fmt.Sprintf("plugin %s %q", plugin, theProgram+" down"))
	e.client.Down = noHook
	e.happens = func(l *life) {
		l.signal(syscall.SIGUSR1)
		l.up(2)
		l.signal(syscall.SIGTERM)
		l.ended(0)
		l.away()
	}
	e.test(t, func(l *life) {
		const text = "the client ends or restarts (unknown), which does not open the host; `vpnguard down --dev tun0` does"
		if !strings.Contains(l.client.Log(), text) {
			t.Errorf("no %q in:\n%s", text, l.client.Log())
		}
		l.orphaned()
		l.must(0, "down", "--dev", "tun0")
		l.opened()
	})
}
