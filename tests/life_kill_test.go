package tests

import (
	"strings"
	"syscall"
	"testing"
)

// killed is a client that ends without any hook.
func killed() event {
	return event{happens: func(l *life) {
		l.signal(syscall.SIGKILL)
		l.ended(-1)
		l.away()
	}}
}

func TestKilledClientLeavesTheHostClosedUntilRecover(t *testing.T) {
	killed().test(t, func(l *life) {
		l.orphaned()
		_, said := l.must(0, "recover")
		if !strings.Contains(said, `session "tun0": no client of it lives; it ended`) || !strings.HasSuffix(said, "vpnguard: open\n") {
			t.Errorf("recover says:\n%s", said)
		}
		l.tidy()
		l.opened()
	})
}

func TestKilledClientLeavesTheHostClosedUntilTheNextOne(t *testing.T) {
	e := killed()
	kill := e.happens
	e.happens = func(l *life) {
		kill(l)
		l.sever()
		l.launch()
		l.said("UDPv4 link remote: [AF_INET]203.0.113.10:1194")
		l.away()
		l.mend()
		l.up(1)
	}
	e.test(t, func(l *life) {
		l.works()
		v := l.view()
		if len(v.Sessions) != 1 || v.Sessions[0].PID != l.client.PID() || len(v.Notes) != 0 {
			t.Errorf("want one session of pid %d and no note:\n%s", l.client.PID(), v.text)
		}
		code, err := l.client.Stop(l.ctx)
		l.try(err)
		if code != 0 {
			t.Errorf("openvpn: exit %d\n%s", code, l.client.Log())
		}
		l.opened()
	})
}

func TestRecoverWhileTheClientLivesStaysSealed(t *testing.T) {
	e := event{kept: true, happens: func(l *life) {
		if l.guarded {
			_, said := l.must(0, "recover")
			if !strings.Contains(said, "lives; it stays sealed (vpnguard down --dev tun0 ends it)") || !strings.HasSuffix(said, "vpnguard: sealed\n") {
				l.Errorf("recover says:\n%s", said)
			}
		}
		l.away()
	}}
	e.test(t, func(l *life) {
		l.works()
		l.stops()
	})
}

// Recover in the middle of a restart: the client lives, the tunnel does not.
func TestRecoverWhileTheClientReconnectsStaysClosed(t *testing.T) {
	e := event{happens: func(l *life) {
		l.sever()
		l.signal(syscall.SIGUSR1)
		l.becomes("connecting")
		if l.guarded {
			l.must(0, "recover")
			l.is("connecting")
		}
		l.away()
		l.mend()
		l.up(2)
	}}
	e.test(t, func(l *life) {
		l.works()
		l.stops()
	})
}
