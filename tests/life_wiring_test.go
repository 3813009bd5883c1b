package tests

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
)

// everyHook wires vpnguard to all script types that a client has besides.
var everyHook = []string{
	`ipchange "` + theProgram + ` up"`,
	`route-up "` + theProgram + ` up"`,
	`tls-verify "` + theProgram + ` up"`,
	`route-pre-down "` + theProgram + ` down"`,
}

func TestClientWithEveryHookWiredComesBackAndStops(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]openvpn.Client{
		"as root":   {},
		"as nobody": {User: "nobody", PersistTun: true},
	} {
		t.Run(name, func(t *testing.T) {
			if client.User != "" && lab.SingleUID() {
				t.Skip("only root exists here")
			}
			client.Extra = everyHook
			e := event{client: client, kept: client.PersistTun}
			e.happens = func(l *life) {
				l.sever()
				l.signal(syscall.SIGUSR1)
				l.said("received, process restarting")
				l.away()
				l.mend()
				l.up(2)
			}
			e.test(t, func(l *life) {
				l.works()
				if v := l.view(); v.Sessions[0].Profile != "full" {
					t.Errorf("profile %q", v.Sessions[0].Profile)
				}
				if client.User == "" {
					l.stops()
					return
				}
				// No hook of a client without privileges opens anything.
				l.signal(syscall.SIGTERM)
				l.ended(1)
				l.orphaned()
				l.must(0, "recover")
				l.opened()
			})
		})
	}
}

// split is a server that takes only what the streams go to.
func split(s openvpn.Server) openvpn.Server {
	s.Split, s.Push = true, []string{"route 8.8.8.8 255.255.255.255", "route-ipv6 2001:db8:80::/64"}
	return s
}

// At `up` nobody knows whether the default route follows.
func TestProfileIsFullUntilTheRoutesAreKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server openvpn.Server
		hooks  []string
		want   []string // profiles, as they are said
	}{
		"split, route-up wired":     {split(openvpn.Server{}), everyHook, []string{"full", "split", "full", "split"}},
		"split, route-up not wired": {split(openvpn.Server{}), nil, []string{"full", "full"}},
		"full, route-up wired":      {openvpn.Server{}, everyHook, []string{"full", "full", "full", "full"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := event{server: c.server, client: openvpn.Client{Extra: c.hooks}}
			e.happens = func(l *life) {
				l.sever()
				l.signal(syscall.SIGUSR1)
				l.becomes("connecting")
				l.away()
				l.mend()
				l.up(2)
			}
			e.test(t, func(l *life) {
				l.works()
				var said []string
				for line := range strings.Lines(l.client.Log()) {
					if _, rest, ok := strings.Cut(line, "(openvpn, profile "); ok {
						profile, _, _ := strings.Cut(rest, ")")
						said = append(said, profile)
					}
				}
				if !slices.Equal(said, c.want) {
					t.Errorf("profiles: %q, want %q\n%s", said, c.want, l.client.Log())
				}
				if v := l.view(); v.Sessions[0].Profile != c.want[len(c.want)-1] {
					t.Errorf("profile %q", v.Sessions[0].Profile)
				}
				l.stops()
			})
		})
	}
}

// The name had another address when the tunnel came up. With a kept tunnel no
// `up` follows: only `ipchange` tells the new server.
func TestIPChangeAddsTheServerThatANameMovedTo(t *testing.T) {
	one, two := openvpn.Server{Restart: 3 * time.Second}, openvpn.Server{Restart: 3 * time.Second, Address: site.ServerTwo}
	e := event{server: split(one), client: openvpn.Client{PersistTun: true, Extra: append([]string{"remote vpn.lab 1194 udp4"}, everyHook...)}, kept: true}
	e.prepare = func(l *life) { l.names("203.0.113.10 vpn.lab") }
	e.happens = func(l *life) {
		l.names("203.0.113.11 vpn.lab")
		l.killServer(0)
		// The same network, so that the client keeps its address and its tunnel.
		l.event.server = split(two)
		l.reviveServer(0)
		l.away()
		l.up(2)
		l.event.server, l.event.second = split(one), &two // both are explained
	}
	e.test(t, func(l *life) {
		l.works()
		if !strings.Contains(l.client.Log(), "vpnguard: endpoint 203.0.113.11:1194/udp added") || strings.Contains(l.client.Log(), "Closing TUN/TAP") {
			t.Errorf("the endpoint was not added by ipchange alone:\n%s", l.client.Log())
		}
		if v := l.view(); !slices.Equal(v.Sessions[0].Endpoints, []string{"203.0.113.10:1194/udp", "203.0.113.11:1194/udp"}) {
			t.Errorf("endpoints %q", v.Sessions[0].Endpoints)
		}
		l.stops()
	})
}
