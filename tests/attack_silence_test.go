package tests

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// The client's addresses in the tunnel, which the first client of a server gets.
var (
	tunnelAddr  = netip.MustParseAddr("10.8.0.2")
	tunnelAddr6 = netip.MustParseAddr("fd00:8::1000")
)

// attack is one of probe.Attacks at one address of the client.
type attack struct {
	name   string
	target netip.Addr
	// spoofed ones come from an internet address, so that an answer goes into
	// the tunnel, where its size tells the attacker who is here.
	spoofed bool
	// harmless ones draw nothing from any Linux host.
	harmless bool
}

// attacks are all at all of these addresses, but for what the family lacks.
func attacks(targets ...netip.Addr) []attack {
	var list []attack
	for _, p := range probe.Attacks() {
		for _, target := range targets {
			only4 := p.Name == "attack-arp" || strings.HasPrefix(p.Name, "attack-timestamp")
			if only4 && target.Is6() || p.Name == "attack-ns" && target.Is4() {
				continue
			}
			list = append(list, attack{
				name: p.Name, target: target, spoofed: strings.HasSuffix(p.Name, "-spoofed"),
				// IPv6 answers for the addresses of the link that was asked only.
				harmless: p.Name == "attack-ns" && target == tunnelAddr6,
			})
		}
	}
	return list
}

// quietServer sends no keepalive in the time of a test: carriers are counted.
var quietServer = openvpn.Server{Ping: time.Minute, Restart: 5 * time.Minute}

func TestTheTunnelAddressIsSilentTowardsTheLAN(t *testing.T) {
	t.Parallel()
	list := attacks(tunnelAddr, tunnelAddr6)
	s := newScene(t, "")
	s.serve(quietServer)
	s.bare(clientOf(quietServer))
	s.alive("of the control") // the client's link addresses are learnt, and the tunnel's
	for _, x := range list {
		clear, inside := s.answers(x, s.policy(quietServer))
		switch {
		case x.harmless:
		case x.spoofed && inside == 0, !x.spoofed && clear == 0:
			t.Errorf("guard off: %s at %s: %d answers in clear, %d in the tunnel", x.name, x.target, clear, inside)
		}
	}
	for _, tr := range transports {
		srv := tr.server()
		srv.Ping, srv.Restart = quietServer.Ping, quietServer.Restart
		if tr.proto == "tcp" {
			continue // the same tunnel, but its acknowledgements make counting packets unsure
		}
		t.Run("sealed "+tr.name, func(t *testing.T) {
			s := newScene(t, "")
			s.serve(srv)
			s.newLinksAreSilent()
			s.connect(clientOf(srv))
			s.alive("before the attacks")
			s.quiet(s.policy(srv))
			start := s.mark()
			for _, x := range list {
				if clear, inside := s.answers(x, s.policy(srv)); clear > 0 || inside > 0 {
					t.Errorf("%s at %s: %d answers in clear, %d packets in the tunnel", x.name, x.target, clear, inside)
				}
			}
			s.explained(start, s.policy(srv))
			for _, addr := range []netip.Addr{tunnelAddr, tunnelAddr6} {
				if found := wire.Mentioning(s.since(start), addr); len(found) > 0 {
					t.Errorf("the wire tells of %s: %s", addr, wire.Describe(found[0]))
				}
			}
			s.alive("after the attacks")
		})
	}
}

// newLinksAreSilent keeps the client's tunnel device from soliciting routers and
// reporting groups, which the tunnel would carry while carriers are counted.
func (s *scene) newLinksAreSilent() {
	s.Helper()
	if err := s.lab.Client.Script(s.ctx, `cd /proc/sys/net/ipv6/conf/default
echo 0 > accept_dad
echo 0 > dad_transmits
echo 0 > router_solicitations
echo 1 > mldv2_unsolicited_report_interval
`); err != nil {
		s.Fatal(err)
	}
}

// quiet waits until no more carriers follow from what went before.
func (s *scene) quiet(policy wire.Policy) {
	s.Helper()
	policy.Carriers = nil
	if err := s.lab.Settled(s.ctx, policy, 300*time.Millisecond); err != nil {
		s.Fatal(err)
	}
}

// answers attacks, and counts the answers in clear and the packets that the
// tunnel carried meanwhile.
func (s *scene) answers(x attack, policy wire.Policy) (inClear, inside int) {
	s.Helper()
	a, err := s.lab.Attack(s.ctx, x.name, x.target)
	if err != nil {
		s.Errorf("%s at %s: %v", x.name, x.target, err)
		return 0, 0
	}
	if a.Receipt.Sent != probe.AttackCount {
		s.Errorf("%s at %s: not sent: %s", x.name, x.target, a.Receipt)
	}
	v := policy.Judge(a.Frames)
	return max(len(a.Seen), len(v.Leaks)), v.Counts[wire.CarrierClass]
}

// The same from an internet address that a router of the LAN forwards, and at
// the host's own address: a scan finds nobody.
func TestTheHostsOwnAddressIsSilentTowardsTheLAN(t *testing.T) {
	t.Parallel()
	list := attacks(site.Client, site.Client6)
	s := newScene(t, "")
	s.serve(quietServer)
	s.bare(clientOf(quietServer))
	for _, x := range list {
		inClear, inside := s.answers(x, s.policy(quietServer))
		if !upkeep(x) && inClear+inside == 0 {
			t.Errorf("guard off: %s at %s: no answer", x.name, x.target)
		}
	}
	if s.heard(list) == 0 {
		t.Error("guard off: no datagram of the LAN reached a program")
	}
	s = newScene(t, "")
	s.serve(quietServer)
	s.newLinksAreSilent()
	s.connect(clientOf(quietServer))
	s.alive("before the attacks")
	s.quiet(s.policy(quietServer))
	policy, start := s.policy(quietServer), s.mark()
	for _, x := range list {
		if upkeep(x) {
			// Whoever is on the link may find it: link upkeep, shown to be exact.
			s.mustAnswer(x, policy)
			continue
		}
		if inClear, inside := s.answers(x, policy); inClear > 0 || inside > 0 {
			t.Errorf("%s at %s: %d answers in clear, %d packets in the tunnel", x.name, x.target, inClear, inside)
		}
	}
	s.explained(start, policy)
	// Silence alone could be the doing of what refuses the answers.
	if n := s.heard(list); n > 0 {
		t.Errorf("%d bytes of the LAN reached a program", n)
	}
	s.alive("after the attacks")
}

// heard attacks a program that hears on the attacks' port and reads nothing,
// and returns how many bytes wait for it.
func (s *scene) heard(list []attack) (total int) {
	s.Helper()
	const port = "45678"
	s.job(s.lab.Client, "deaf", port)
	for _, x := range list {
		if strings.HasPrefix(x.name, "attack-udp") {
			s.answers(x, s.policy(quietServer))
		}
	}
	out, err := s.lab.Client.Run(s.ctx, "ss", "-Hlun", "sport", "=", ":"+port)
	if err != nil || out == "" {
		s.Fatalf("nobody hears on port %s: %v", port, err)
	}
	for line := range strings.Lines(out) {
		n, err := strconv.Atoi(strings.Fields(line)[1]) // state, queue
		if err != nil {
			s.Fatal(err)
		}
		total += n
	}
	return total
}

// upkeep are the questions that keep the link alive: who has the LAN's address.
func upkeep(x attack) bool { return x.name == "attack-arp" || x.name == "attack-ns" }

func (s *scene) mustAnswer(x attack, policy wire.Policy) {
	s.Helper()
	a, err := s.lab.Attack(s.ctx, x.name, x.target)
	if err != nil {
		s.Fatal(err)
	}
	v := policy.Judge(a.Frames)
	if v.Counts[wire.ARP]+v.Counts[wire.ND] == 0 || len(v.Leaks) > 0 {
		s.Errorf("%s at %s: want an answer and nothing else: %v", x.name, x.target, v)
	}
}
