package tests

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// both is a client on tun0 and one on tun1, each with a server of its own.
func both(second openvpn.Server, extra ...string) event {
	second.Number, second.Address = 1, site.ServerTwo
	e := event{second: &second}
	e.client.Remotes = remotes(openvpn.Server{})
	e.other = &openvpn.Client{Number: 1, Remotes: remotes(second), Extra: extra}
	return e
}

// sessions demands exactly these sessions.
func (l *life) sessions(devs ...string) view {
	l.Helper()
	v := l.view()
	var have []string
	for _, s := range v.Sessions {
		have = append(have, s.Dev)
	}
	slices.Sort(have)
	if !slices.Equal(have, devs) || (len(devs) > 0) != (v.State == "sealed") {
		l.Errorf("sessions %q, want %q:\n%s", have, devs, v.text)
	}
	return v
}

// stop ends a client cleanly.
func (l *life) stop(p *openvpn.Process) {
	l.Helper()
	code, err := p.Stop(l.ctx)
	l.try(err)
	if code != 0 {
		l.Errorf("openvpn: exit %d\n%s", code, p.Log())
	}
}

// The routes of the client that stays lead into its tunnel, so that only
// programs that choose the wire leak without a guard.
func TestStoppingOneOfTwoFullClientsKeepsTheHostSealed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tun0 stops first", "tun1 stops first"} {
		t.Run(name, func(t *testing.T) {
			e := both(openvpn.Server{})
			e.kept = true
			order := func(l *life) (first, last *openvpn.Process, left string) {
				if name == "tun0 stops first" {
					return l.client, l.twin, "tun1"
				}
				return l.twin, l.client, "tun0"
			}
			e.happens = func(l *life) {
				if l.guarded {
					l.sessions("tun0", "tun1")
				}
				first, _, _ := order(l)
				l.stop(first)
				l.away()
			}
			e.test(t, func(l *life) {
				_, last, left := order(l)
				l.sessions(left)
				l.try(l.lab.TunnelWorks(l.ctx, l.user, site.Server, site.Server6))
				l.stop(last)
				l.opened()
			})
		})
	}
}

// One client takes everything, the other one network; what is left decides.
func TestStoppingOneOfAFullAndASplitClientLeavesTheOther(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]bool{"full stops first": true, "split stops first": false} {
		t.Run(name, func(t *testing.T) {
			e := both(openvpn.Server{Split: true, IPv4Only: true, Push: []string{"route 1.1.1.1 255.255.255.255"}}, everyHook...)
			e.kept = true
			if full {
				// What is left belongs in the second tunnel.
				e.bound = netip.AddrPortFrom(site.PublicTwo, probe.EchoPort)
				// The kernel answers a server that has no client any more, and may.
				e.explains = func(f wire.Frame) bool {
					return strings.Contains(wire.Describe(f), " 192.168.1.101 > 203.0.113.10 ICMPv4 DestinationUnreachable(Port)")
				}
			}
			e.happens = func(l *life) {
				l.away()
				if !full {
					l.stop(l.twin)
					l.away()
					return
				}
				if l.guarded {
					// The rest of the host is open after this, and shows.
					l.hush("IPv4", "IPv6")
				}
				l.stop(l.client)
				l.away()
			}
			e.test(t, func(l *life) {
				if full {
					if v := l.sessions("tun1"); v.Sessions[0].Profile != "split" {
						t.Errorf("profile %q", v.Sessions[0].Profile)
					}
					seen, err := l.lab.SeenAs(l.ctx, l.lab.Client, l.user, "tcp", netip.AddrPortFrom(site.PublicTwo, probe.EchoPort))
					if err != nil || seen != site.Server {
						t.Errorf("through the second tunnel: seen as %v, %v", seen, err)
					}
					l.stop(l.twin)
				} else {
					l.sessions("tun0")
					l.try(l.lab.TunnelWorks(l.ctx, l.user, site.Server, site.Server6))
					l.stop(l.client)
				}
				if text := l.client.Log() + l.twin.Log(); strings.Count(text, "vpnguard: open: sigterm") != 1 {
					t.Errorf("only the last stop opens:\n%s", text)
				}
				l.opened()
			})
		})
	}
}
