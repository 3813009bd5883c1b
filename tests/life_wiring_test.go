package tests

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
)

// everyHook wires vpnguard to all script types that a client has besides.
var everyHook = []string{
	`ipchange "` + theProgram + ` up"`,
	`route-up "` + theProgram + ` up"`,
	`tls-verify "` + theProgram + ` up"`,
	`route-pre-down "` + theProgram + ` down"`,
}

func TestClientWithEveryHookWiredComesBackAndStops(t *testing.T) {
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
