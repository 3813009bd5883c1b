package tests

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
)

// keeps are the ways in which OpenVPN keeps its tunnel over a restart.
var keeps = []struct {
	name   string
	client openvpn.Client
	called bool // `down` is, on a soft restart
}{
	{name: "new tun", called: true},
	{name: "persist-tun", client: openvpn.Client{PersistTun: true}},
	{name: "persist-tun and up-restart", client: openvpn.Client{PersistTun: true, Extra: []string{"up-restart"}}, called: true},
}

func TestSignalledClientComesBackThroughTheSeal(t *testing.T) {
	t.Parallel()
	for _, keep := range keeps {
		for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
			t.Run(keep.name+"/"+map[syscall.Signal]string{syscall.SIGUSR1: "SIGUSR1", syscall.SIGHUP: "SIGHUP"}[sig], func(t *testing.T) {
				e := event{client: keep.client, kept: keep.client.PersistTun && sig == syscall.SIGUSR1}
				called := keep.called || !e.kept
				e.happens = func(l *life) {
					l.sever()
					l.signal(sig)
					l.said("received, process restarting")
					if called {
						l.becomes("connecting")
					}
					l.away()
					l.mend()
					l.up(2)
				}
				e.test(t, func(l *life) {
					if got := strings.Contains(l.client.Log(), "does not open the host"); got != called {
						t.Errorf("`down` was called: %t, want %t\n%s", got, called, l.client.Log())
					}
					l.works()
					l.stops()
				})
			})
		}
	}
}

func TestClientOfALostServerComesBackThroughTheSeal(t *testing.T) {
	t.Parallel()
	for _, keep := range keeps {
		t.Run(keep.name, func(t *testing.T) {
			e := event{server: openvpn.Server{Restart: 3 * time.Second}, client: keep.client, kept: keep.client.PersistTun}
			e.happens = func(l *life) {
				l.killServer(0)
				l.sever()
				l.said("[soft,ping-restart] received")
				if keep.called {
					l.becomes("connecting")
				}
				// It has given up the first try to come back.
				l.said("[soft,server_poll] received")
				l.away()
				l.reviveServer(0)
				l.mend()
				l.up(2)
			}
			e.test(t, func(l *life) {
				l.works()
				l.stops()
			})
		})
	}
}

func TestClientOfAServerThatSaysGoodbyeComesBackThroughTheSeal(t *testing.T) {
	e := event{server: openvpn.Server{Extra: []string{"explicit-exit-notify 1"}}}
	e.happens = func(l *life) {
		if _, err := l.servers[0].Stop(l.ctx); err != nil {
			l.Fatal(err)
		}
		l.said("[soft,server-pushed-connection-reset] received")
		l.becomes("connecting")
		l.away()
		l.reviveServer(0)
		l.up(2)
	}
	e.test(t, func(l *life) {
		l.works()
		l.stops()
	})
}

func TestBrokenTCPCarrierComesBackThroughTheSeal(t *testing.T) {
	e := event{server: openvpn.Server{Proto: "tcp"}, client: openvpn.Client{Proto: "tcp"}}
	e.happens = func(l *life) {
		l.killServer(0)
		l.said("[soft,connection-reset] received")
		l.becomes("connecting")
		l.away()
		l.reviveServer(0)
		l.up(2)
	}
	e.test(t, func(l *life) {
		l.works()
		l.stops()
	})
}

// A restart that cannot be noted must not end the client.
func TestDownOfARestartSucceedsWithoutARecord(t *testing.T) {
	e := event{}
	e.happens = func(l *life) {
		l.sever()
		if l.guarded {
			l.try(l.lab.Client.Script(l.ctx, "mount --bind /run/vpnguard /run/vpnguard\nmount -o remount,bind,ro /run/vpnguard\n"))
		}
		l.signal(syscall.SIGUSR1)
		if l.guarded {
			l.said("cannot note the restart")
		}
		l.said("SIGUSR1[hard,] received, process restarting")
		l.away()
		if l.guarded {
			l.try(l.lab.Client.Script(l.ctx, "umount /run/vpnguard\n"))
		}
		l.mend()
		l.up(2)
	}
	e.test(t, func(l *life) {
		l.works()
		l.stops()
	})
}
