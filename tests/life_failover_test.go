package tests

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"net/netip"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// twoServers are at 203.0.113.10 and .11; a lost one is noticed after 3 seconds.
func twoServers() event {
	return event{
		server: openvpn.Server{Restart: 3 * time.Second},
		second: &openvpn.Server{Restart: 3 * time.Second, Number: 1, Address: site.ServerTwo},
	}
}

// over11 says that the tunnel is the second server's.
const over11 = "Peer Connection Initiated with [AF_INET]203.0.113.11:1194"

func TestClientFailsOverThroughTheSeal(t *testing.T) {
	t.Parallel()
	named := []string{"remote vpn.lab 1194 udp4"}
	for name, client := range map[string]openvpn.Client{
		"by address": {},
		"by name":    {Extra: named},
	} {
		t.Run(name, func(t *testing.T) {
			e := twoServers()
			e.client = client
			e.prepare = func(l *life) { l.names("203.0.113.10 vpn.lab", "203.0.113.11 vpn.lab") }
			e.happens = func(l *life) {
				// Which of a name's addresses comes first is the resolver's choice.
				if strings.Contains(l.client.Log(), over11) {
					l.killServer(1)
				} else {
					l.killServer(0)
				}
				l.said("[soft,ping-restart] received")
				l.becomes("connecting")
				l.away()
				l.up(2)
				for _, server := range []string{"203.0.113.10", "203.0.113.11"} {
					l.said("Peer Connection Initiated with [AF_INET]" + server + ":1194")
				}
			}
			e.test(t, func(l *life) {
				l.works()
				if v := l.view(); !slices.Equal(v.Sessions[0].Endpoints, []string{"203.0.113.10:1194/udp", "203.0.113.11:1194/udp"}) &&
					!slices.Equal(v.Sessions[0].Endpoints, []string{"203.0.113.11:1194/udp", "203.0.113.10:1194/udp"}) {
					t.Errorf("endpoints: %q", v.Sessions[0].Endpoints)
				}
				l.stops()
			})
		})
	}
}

// OpenVPN 2.6 has a host route for the first server only; its packets to the
// second one end in its own dead tunnel, unless they are steered past it.
func TestFailOverWithAKeptTunnelIsSteeredPastIt(t *testing.T) {
	e := twoServers()
	e.client.PersistTun, e.kept = true, true
	e.happens = func(l *life) {
		l.killServer(0)
		l.said("[soft,ping-restart] received")
		if l.guarded {
			l.up(2)
			l.said(over11)
			return
		}
		l.try(l.client.WaitLog(l.ctx, "UDPv4 link remote: [AF_INET]203.0.113.11:1194", 2))
		l.away()
		if strings.Contains(l.client.Log(), over11) {
			l.Errorf("it reconnected by itself: this OpenVPN is another, and the test proves nothing\n%s", l.client.Log())
		}
	}
	e.test(t, func(l *life) {
		l.works()
		l.stops()
	})
}

func TestFailOverWithAKeptSplitTunnelGoesThroughTheSeal(t *testing.T) {
	e := twoServers()
	routes := []string{"route 8.8.8.8 255.255.255.255", "route-ipv6 2001:db8:80::/64"}
	e.server.Split, e.server.Push = true, routes
	e.second.Split, e.second.Push = true, routes
	e.client.PersistTun, e.kept = true, true
	e.happens = func(l *life) {
		l.killServer(0)
		l.said("[soft,ping-restart] received")
		l.away()
		l.up(2)
		l.said(over11)
	}
	e.test(t, func(l *life) {
		// The second server pushed other addresses, so `up` was called anew.
		l.works()
		l.stops()
	})
}

// The name is known to the LAN's resolver only, which the seal closes.
func TestNameOfTheLANResolverIsKnownFromUpOn(t *testing.T) {
	t.Parallel()
	server := netip.AddrPortFrom(probe.DNSAnswer, 1194)
	for name, c := range map[string]struct {
		extra  []string
		config string
	}{
		"persist-remote-ip":  {extra: []string{"persist-remote-ip"}},
		"bootstrap resolver": {config: "bootstrap_dns = [\"192.168.1.1\"]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			e := event{client: openvpn.Client{Extra: append([]string{"remote vpn.only.lan 1194 udp4"}, c.extra...)}}
			e.also = []wire.Carrier{{Remote: server, Proto: wire.UDP}}
			if c.config != "" {
				e.also = append(e.also, wire.Carrier{Remote: netip.AddrPortFrom(site.Gateway, 53), Proto: wire.UDP})
			}
			e.prepare = func(l *life) {
				l.write("/etc/vpnguard/vpnguard.toml", c.config, 0o644)
				// Every name is 203.0.113.80 there; the VPN server is behind it.
				l.try(l.lab.Internet.Script(l.ctx, "nft -f - <<END\ntable ip life {\n chain pre {\n  type nat hook prerouting priority dstnat\n  ip daddr 203.0.113.80 udp dport 1194 dnat to 203.0.113.10\n }\n}\nEND\n"))
			}
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
				if v := l.view(); !slices.Contains(v.Sessions[0].Endpoints, server.String()+"/udp") {
					t.Errorf("endpoints: %q", v.Sessions[0].Endpoints)
				}
				l.stops()
			})
		})
	}
}

// Without a bootstrap resolver a client that asks anew cannot come back: it
// stays closed, and says why.
func TestNameOfTheLANResolverIsNotAskedThroughTheSeal(t *testing.T) {
	e := event{client: openvpn.Client{Extra: []string{"remote vpn.only.lan 1194 udp4"}}}
	e.also = []wire.Carrier{{Remote: netip.AddrPortFrom(probe.DNSAnswer, 1194), Proto: wire.UDP}}
	e.prepare = func(l *life) {
		l.try(l.lab.Internet.Script(l.ctx, "nft -f - <<END\ntable ip life {\n chain pre {\n  type nat hook prerouting priority dstnat\n  ip daddr 203.0.113.80 udp dport 1194 dnat to 203.0.113.10\n }\n}\nEND\n"))
	}
	e.happens = func(l *life) {
		l.signal(syscall.SIGUSR1)
		if l.guarded {
			l.said("RESOLVE: Cannot resolve host address: vpn.only.lan:1194")
		}
		l.away()
	}
	e.test(t, func(l *life) {
		l.is("connecting")
		l.must(0, "down", "--dev", "tun0")
		l.try(l.client.WaitUp(l.ctx, 2))
	})
}
