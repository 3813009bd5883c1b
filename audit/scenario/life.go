package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// streamRate is in datagrams each second.
const streamRate = 250

// happenings notes events while a stream runs.
type happenings struct{ t *trial }

func (h happenings) event(what string) {
	h.t.run.Timeline.Events = append(h.t.run.Timeline.Events, evidence.Event{At: time.Now(), What: what})
}

// pause lets the stream run.
func (h happenings) pause(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-h.t.ctx.Done():
		return h.t.ctx.Err()
	}
}

// across runs a stream of an ordinary program across what happens.
func (t *trial) across(dev string, happens func(happenings) error) error {
	nonce := probe.NewNonce()
	s := evidence.Stimulus{Name: "stream", Node: t.lab.Client.Name, UID: t.user, Program: "stream of datagrams", Nonce: nonce, Planned: 1, Started: time.Now()}
	s.Signs.Needles = [][]byte{[]byte(nonce)}
	stream, err := t.lab.Stream(t.ctx, t.lab.Client, t.user, probe.Stream{Nonce: nonce, To: netip.AddrPortFrom(site.Public, probe.EchoPort), Dev: dev, Rate: streamRate})
	if err != nil {
		return err
	}
	t.run.Timeline = &evidence.Timeline{Nonce: nonce, Rate: streamRate, Started: time.Now()}
	h := happenings{t}
	err = h.pause(100 * time.Millisecond)
	if err == nil {
		err = happens(h)
	}
	err = errors.Join(err, h.pause(200*time.Millisecond))
	t.run.Timeline.Ended = time.Now()
	count, stopped := stream.Stop()
	t.run.Timeline.Sent, t.run.Timeline.Refused = count.Sent, count.Refused
	s.Ended = time.Now()
	if count.Sent > 0 {
		s.Sends = append(s.Sends, evidence.Send{What: fmt.Sprintf("%d datagrams", count.Sent)})
	}
	for text, n := range count.Errors {
		s.Sends = append(s.Sends, evidence.Send{What: fmt.Sprintf("%d datagrams", n), Errno: errno(text), Error: text})
	}
	t.run.Stimuli = append(t.run.Stimuli, s)
	t.shows(s.Signs)
	t.recorded.canary(evidence.Between)
	return errors.Join(err, stopped)
}

// errno is the number of an error's text.
func errno(text string) int {
	for e := syscall.Errno(1); e < 134; e++ {
		if e.Error() == text {
			return int(e)
		}
	}
	return int(syscall.EIO)
}

// aWhile is how long an event's aftermath is watched.
const aWhile = 600 * time.Millisecond

// life are events of a tunnel that stands.
func life() []*scenario {
	return []*scenario{
		{id: "client-crash", title: "the client is killed under a stream", rule: "the rules outlive the client", need: evidence.Before, why: "the client is killed", run: func(t *trial) error {
			return t.across("", func(h happenings) error {
				h.event("the client is killed (SIGKILL)")
				if err := t.client.kill(t.bench); err != nil {
					return err
				}
				h.event("the client is gone")
				return h.pause(aWhile)
			})
		}},
		{id: "forward-container", variant: "the tunnel lost", title: "a guest goes on after the client was killed", rule: "fwd-end", need: evidence.Before, why: "the client is killed", run: func(t *trial) error {
			if err := routedGuest(t.bench); err != nil {
				return err
			}
			if err := t.client.kill(t.bench); err != nil {
				return err
			}
			t.recorded.canary(evidence.Between)
			for _, n := range []string{"udp-public", "tcp-public", "dns-udp-public"} {
				if err := t.probe(n, probed{node: t.lab.Guest}); err != nil {
					return err
				}
			}
			return nil
		}},
		{id: "reconnect-window", title: "the client restarts under a stream", rule: "a restart opens nothing", need: evidence.After, why: "the client restarts", unfit: map[string]string{
			"wireguard": "the protocol bridges an outage by itself; a stop and a start are the user's own, and open", "command": "the laboratory does not know how to restart this client",
		}, run: func(t *trial) error {
			return t.across("", func(h happenings) error {
				h.event("the client is told to restart")
				if err := t.client.restart(t.bench); err != nil {
					return err
				}
				if err := t.carries(10 * time.Second); err != nil {
					return err
				}
				h.event("the tunnel carries again")
				return nil
			})
		}},
		{id: "hook-unseal", title: "the client restarts, its hooks are called, and the server does not answer", rule: "a restart opens nothing", need: evidence.After, why: "the client is away", unfit: map[string]string{
			"own": "this client calls no hook when it restarts", "openconnect": "this client calls its hook at its end only", "wireguard": "nothing restarts", "command": "the laboratory does not know how to restart this client",
		}, run: func(t *trial) error {
			c, ok := t.client.(awayer)
			if !ok {
				t.excused = "this client calls no hook when it restarts"
				return nil
			}
			return t.across("", func(h happenings) error {
				if err := t.cut(); err != nil {
					return err
				}
				h.event("the client is told to restart, and its server is cut off")
				if err := c.away(t.bench); err != nil {
					return err
				}
				if err := h.pause(2 * aWhile); err != nil {
					return err
				}
				h.event("the server is back")
				return t.mended()
			})
		}},
		{id: "network-switch", title: "a second network comes, with a lease that has routes, and the first goes", rule: "out-end", need: evidence.Before, why: "the tunnel's way is taken away", run: networkSwitch},
		{id: "hotplug-uplink", title: "an interface appears, with a route to an internet address", rule: "out-end", run: func(t *trial) error {
			if err := t.secondWire("usb0"); err != nil {
				return err
			}
			if err := t.change("ip route add 8.8.8.8/32 via 192.168.2.1 dev usb0\n", ""); err != nil {
				return err
			}
			t.recorded.canary(evidence.Between)
			return t.probes("udp-public", "tcp-public")
		}},
		{id: "suspend-resume", title: "the link goes and comes back with a lease that has routes", rule: "out-end", need: evidence.After, why: "the link is taken away", run: suspend},
		{id: "guard-restart", title: "the guard's rules are replaced again and again under a stream that is bound to the wire", rule: "one transaction", run: func(t *trial) error {
			return t.across("eth0", func(h happenings) error {
				for i := range 4 {
					h.event(fmt.Sprintf("replacement %d", i+1))
					if err := t.replace(i); err != nil {
						return err
					}
				}
				return nil
			})
		}},
	}
}

// replace has the guard put its rules in again.
func (t *trial) replace(i int) error {
	switch {
	case !t.guarded():
		return nil
	case t.order.Guard == "vpnguard":
		verb := []string{"lock", "unlock"}[i%2]
		_, err := t.lab.Client.Run(t.ctx, t.program(), verb)
		return err
	}
	return t.guardCommand("up")
}

// lost is the loss of the server.
func lost() []*scenario {
	return []*scenario{
		{id: "server-unreachable", title: "the server is gone for a while", rule: "the rules stay", need: evidence.After, why: "the server is taken away", unfit: map[string]string{"wireguard": "the device and its routes stay: nothing notices"}, run: func(t *trial) error {
			return t.across("", func(h happenings) error {
				h.event("the server is cut off")
				if err := t.cut(); err != nil {
					return err
				}
				if err := h.pause(t.noticesAfter()); err != nil {
					return err
				}
				h.event("the server is back")
				return t.mended()
			})
		}},
	}
}

// cut takes the server away, both ways.
func (t *trial) cut() error {
	return t.lab.Server.Script(t.ctx, `nft -f - <<END
table inet cut {
	chain in {
		type filter hook prerouting priority -300
		iifname "eth0" drop
	}
	chain out {
		type filter hook postrouting priority 300
		oifname "eth0" drop
	}
}
END
`)
}

// mended brings it back and waits for the tunnel.
func (t *trial) mended() error {
	if err := t.lab.Server.Script(t.ctx, "nft delete table inet cut\n"); err != nil {
		return err
	}
	return t.carries(30 * time.Second)
}

// rotation is the change to another server.
func rotation() []*scenario {
	return []*scenario{
		{id: "endpoint-rotation", title: "the first server ends, and a program talks to the second one's address", rule: "out-carrier", need: evidence.After, why: "the servers change", unfit: map[string]string{
			"own": "a peer of the own tunnel has one server", "command": "the laboratory does not know how to tell this client of two servers",
			"openconnect": "the client knows one server", "wireguard": "a peer has one server",
		}, run: func(t *trial) error {
			r, ok := t.client.(rotator)
			if !ok {
				t.excused = "this client does not change servers"
				return nil
			}
			if err := r.failover(t.bench); err != nil {
				return err
			}
			if err := t.carries(20 * time.Second); err != nil {
				return err
			}
			if err := t.watchTunnelAs("second tunnel"); err != nil {
				return err
			}
			t.recorded.canary(evidence.Between)
			return t.probes("udp-server2", "tcp-server2")
		}},
	}
}

// before is the time before the tunnel is up.
func before() []*scenario {
	return []*scenario{
		{id: "pre-tunnel-window", title: "a stream begins before the client does", rule: "the lock", need: evidence.After, why: "it begins before there is a tunnel", run: func(t *trial) error {
			if t.guarded() && t.order.Guard == "vpnguard" {
				if err := t.lock(); err != nil {
					return err
				}
			}
			return t.across("", func(h happenings) error {
				h.event("the client starts")
				if err := t.connect(); err != nil {
					return err
				}
				if err := t.watchTunnel(); err != nil {
					return err
				}
				t.recorded.canary(evidence.Between)
				h.event("the tunnel is up")
				return nil
			})
		}},
	}
}

// lock closes the host before the client starts, as a user would.
func (t *trial) lock() error {
	x := t.client.tunnel()
	args := []string{"lock", "--owner", t.ownerUID()}
	for _, c := range x.carriers() {
		args = append(args, "--endpoint", c.Remote.String()+"/"+protocol(c.Proto))
	}
	if t.order.Client == "openvpn" || t.order.Client == "wireguard" {
		args = append(args, "--mark", fmt.Sprint(openvpnMark))
	}
	_, err := t.lab.Client.Run(t.ctx, t.program(), args...)
	return err
}

func protocol(number uint8) string {
	if number == wire.TCP {
		return "tcp"
	}
	return "udp"
}

// survivors are connections that are older than the tunnel.
func survivors() []*scenario {
	old := func(id, title string, use func(t *trial, s *evidence.Stimulus, f oldFlow) error) *scenario {
		return &scenario{id: id, title: title, rule: "out-end-tcp", need: evidence.After, why: "the connection is older than the tunnel", run: func(t *trial) error {
			return t.older(use)
		}}
	}
	return []*scenario{
		old("established-survivor", "a connection from before the tunnel is used", func(t *trial, s *evidence.Stimulus, f oldFlow) error { return f.send(s) }),
		old("uid-denylist-skless", "a connection from before the tunnel is used and closed", func(t *trial, s *evidence.Stimulus, f oldFlow) error {
			if err := f.send(s); err != nil {
				return err
			}
			if err := f.flow.Close(); err != nil {
				return err
			}
			return nil
		}),
	}
}

// guardian is what happens to the rules themselves.
func guardian() []*scenario {
	return []*scenario{
		{id: "ruleset-flush", title: "somebody flushes all rules under a stream that is bound to the wire", rule: "the guardian", need: evidence.After, why: "the tunnel comes first", run: func(t *trial) error {
			if t.guarded() && t.order.Guard == "vpnguard" {
				if err := t.guardian(); err != nil {
					return err
				}
			}
			if err := t.connect(); err != nil {
				return err
			}
			if err := t.watchTunnel(); err != nil {
				return err
			}
			return t.across("eth0", func(h happenings) error {
				h.event("nft flush ruleset")
				if err := t.lab.Client.Script(t.ctx, "nft flush ruleset\n"); err != nil {
					return err
				}
				return h.pause(aWhile / 2)
			})
		}},
	}
}
