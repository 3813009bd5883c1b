package tests

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// splitServer pushes the prefixes of one company, in which the laboratory's
// internet has hosts, and no default route.
func splitServer(push ...string) openvpn.Server {
	return openvpn.Server{Split: true, Push: append([]string{"route 8.8.8.0 255.255.255.0", "route-ipv6 2001:db8:80::/48"}, push...)}
}

// connectSplit connects with the hook line of a split tunnel.
func (s *scene) connectSplit(c openvpn.Client) *openvpn.Process {
	s.Helper()
	c.Up, c.Down = s.exe+" up --profile split", s.exe+" down"
	return s.bare(c)
}

// belonging are probes of the tunnel's own prefixes that leave by the wire when
// the tunnel is gone, or choose it themselves; those that do are marked.
var belonging = []struct {
	name  string
	bound bool
}{
	{"udp-public", false}, {"tcp-public", false}, {"icmp-public", false}, {"icmp-raw-public", false},
	{"udp-public-v6", false}, {"tcp-public-v6", false}, {"icmp-public-v6", false}, {"dns-udp-public", false}, {"udp-v4-mapped", false},
	{"bind-device-udp", true}, {"bind-device-tcp", true}, {"bind-device-icmp", true}, {"bind-device-udp-v6", true}, {"bind-device-tcp-v6", true},
	{"unicast-if", true}, {"pktinfo-v6", true}, {"raw-ip", true}, {"raw-ip-v6", true}, {"fragments", true}, {"fragments-v6", true},
	{"packet-ipv4", true}, {"packet-ipv6", true}, {"packet-ipv4-bypass", true}, {"packet-ipv6-bypass", true},
}

// atServer are probes of the server's address that are not the carrier.
var atServer = []string{"udp-server", "tcp-server", "icmp-server", "icmp-raw-server", "udp-carrier-port", "tcp-carrier-port", "bind-device-udp-server"}

func TestSplitKeepsItsPrefixesInTheTunnelAndTheRestInClear(t *testing.T) {
	t.Parallel()
	srv := splitServer()
	t.Run("guard off", func(t *testing.T) {
		s := newScene(t, "")
		s.serve(srv)
		client := s.bare(clientOf(srv))
		policy := s.policy(srv)
		for _, p := range belonging {
			if p.bound {
				s.shows(s.lab.Client, s.asUser(p.name), probe.Order{Name: p.name}, policy)
			}
		}
		for _, name := range atServer {
			s.shows(s.lab.Client, s.asUser(name), probe.Order{Name: name}, policy)
		}
		s.killed(client)
		for _, p := range belonging {
			s.shows(s.lab.Client, s.asUser(p.name), probe.Order{Name: p.name}, policy)
		}
	})
	t.Run("sealed", func(t *testing.T) {
		s := newScene(t, "")
		s.serve(srv)
		before := s.snapshot()
		client := s.connectSplit(clientOf(srv))
		s.must(0, "status")
		s.splitWorks(srv)
		s.splitIsTight(srv, "with the tunnel up")
		s.splitWorks(srv)
		s.killed(client)
		s.splitIsTight(srv, "after the client was killed")
		for _, name := range []string{"udp-public", "tcp-public", "udp-public-v6", "tcp-public-v6"} {
			// Dropped on the wire, a program would wait; refused, it knows.
			if a := s.silent(s.lab.Client, s.user, probe.Order{Name: name}, s.policy(srv)); a.Receipt.Sent > 0 {
				t.Errorf("%s: the program was not refused", a.Receipt)
			}
		}
		s.clearWorks()
		s.must(0, "down", "--dev", "tun0")
		s.restored(before)
	})
	t.Run("stop restores", func(t *testing.T) {
		s := newScene(t, "")
		s.serve(srv)
		before := s.snapshot()
		client := s.connectSplit(clientOf(srv))
		s.splitWorks(srv)
		if _, err := client.Stop(s.ctx); err != nil {
			t.Fatal(err)
		}
		s.restored(before)
		s.must(0, "status")
	})
}

// splitWorks demands that the company is reached by the tunnel and the rest in clear.
func (s *scene) splitWorks(srv openvpn.Server) {
	s.Helper()
	if err := s.lab.TunnelWorks(s.ctx, s.user, site.Server, site.Server6); err != nil {
		s.Error(err)
	}
	s.clearWorks()
}

func (s *scene) clearWorks() {
	s.Helper()
	for _, network := range []string{"udp", "tcp"} {
		for to, want := range map[netip.Addr]netip.Addr{site.PublicTwo: site.WAN, site.Web: site.WAN, site.PublicTwo6: site.Client6} {
			seen, err := s.lab.SeenAs(s.ctx, s.lab.Client, s.user, network, netip.AddrPortFrom(to, probe.EchoPort))
			if err != nil || seen != want {
				s.Errorf("in clear by %s to %s: seen as %v, want %v: %v", network, to, seen, want, err)
			}
		}
	}
	// The LAN: its router hears a program.
	a, err := s.lab.Control(s.ctx, s.lab.Client, s.user, probe.Order{Name: "udp-lan"})
	if err != nil || a.Receipt.Sent == 0 {
		s.Errorf("the LAN in clear: %s: %v", a.Receipt, err)
	}
}

// splitIsTight runs everything that must not leave by the wire, as user and root.
func (s *scene) splitIsTight(srv openvpn.Server, when string) {
	s.Helper()
	policy := s.policy(srv)
	var names []string
	for _, p := range belonging {
		names = append(names, p.name)
	}
	start := s.mark()
	for _, name := range append(names, atServer...) {
		for _, uid := range s.uids() {
			p, err := probe.Find(name)
			if err != nil {
				s.Fatal(err)
			}
			x := try{p, uid, probe.Order{Name: name}}
			switch {
			case uid != 0 && p.Privileged:
			case x.own(srv):
				s.ownerPasses(x, policy)
			default:
				s.silent(s.lab.Client, uid, x.order, policy)
			}
		}
	}
	for _, addr := range []netip.Addr{site.Public, site.Public6} {
		if found := wire.Mentioning(s.since(start), addr); len(found) > 0 {
			s.Errorf("%s the wire tells of %s: %s", when, addr, wire.Describe(found[0]))
		}
	}
}

// The LAN's resolver is refused exactly if the session brought its own.
func TestSplitRefusesTheLANsResolverIfTheSessionHasOne(t *testing.T) {
	t.Parallel()
	asks := []string{"dns-udp-lan", "dns-tcp-lan", "dot-tcp-lan", "dot-udp-lan", "dns-udp-lan-v6", "dns-tcp-lan-v6"}
	for _, c := range []struct {
		name     string
		push     []string
		resolver bool
	}{{"no resolver", nil, false}, {"resolver", []string{"dhcp-option DNS 8.8.8.8"}, true}} {
		t.Run(c.name, func(t *testing.T) {
			srv := splitServer(c.push...)
			s := newScene(t, "")
			s.serve(srv)
			s.connectSplit(clientOf(srv))
			policy := s.policy(srv)
			for _, name := range asks {
				if !c.resolver {
					s.shows(s.lab.Client, s.user, probe.Order{Name: name}, policy) // the control
					continue
				}
				for _, uid := range s.uids() {
					s.silent(s.lab.Client, uid, probe.Order{Name: name}, policy)
				}
			}
			s.splitWorks(srv)
			if c.resolver {
				s.resolves(netip.AddrPortFrom(site.Public, probe.DNSPort))
			}
		})
	}
}

// resolves asks the session's resolver inside the tunnel.
func (s *scene) resolves(at netip.AddrPort) {
	s.Helper()
	out, err := s.lab.Client.Run(s.ctx, "busybox", "nslookup", "-type=a", "company.example", at.String())
	if err != nil || !strings.Contains(out, probe.DNSAnswer.String()) {
		s.Errorf("ask %s: %v: %s", at, err, out)
	}
}

func TestSplitHidesTheTunnelAddressFromTheLAN(t *testing.T) {
	t.Parallel()
	srv := splitServer()
	srv.Ping, srv.Restart = quietServer.Ping, quietServer.Restart
	list := slices.DeleteFunc(attacks(tunnelAddr, tunnelAddr6), func(x attack) bool { return x.harmless })
	for _, sealed := range []bool{false, true} {
		s := newScene(t, "")
		s.serve(srv)
		s.newLinksAreSilent()
		if sealed {
			s.connectSplit(clientOf(srv))
		} else {
			s.bare(clientOf(srv))
		}
		s.alive("before the attacks")
		s.quiet(s.policy(srv))
		for _, x := range list {
			inClear, inside := s.answers(x, s.policy(srv))
			if sealed && inClear+inside > 0 || !sealed && inClear+inside == 0 {
				t.Errorf("sealed %t: %s at %s: %d answers in clear, %d packets in the tunnel", sealed, x.name, x.target, inClear, inside)
			}
		}
		s.alive("after the attacks")
	}
}

// A guest is led by the same routes past the output chain, and a macvlan child
// past all but the wire's own.
func TestSplitKeepsGuestsOutOfItsPrefixesOnTheWire(t *testing.T) {
	t.Parallel()
	srv := splitServer()
	inside := []string{"udp-public", "tcp-public", "icmp-public", "udp-public-v6", "tcp-public-v6", "raw-ip"}
	server := []string{"udp-server", "tcp-server", "icmp-server", "udp-carrier-port", "tcp-carrier-port"}
	child := []string{"bind-device-udp-server", "bind-device-udp", "bind-device-tcp", "bind-device-udp-v6", "packet-ipv4", "packet-ipv6"}
	for _, sealed := range []bool{false, true} {
		s := newScene(t, "")
		s.serve(srv)
		if err := s.lab.EnableGuest(s.ctx); err != nil {
			t.Fatal(err)
		}
		connect, try := s.bare, s.shows
		if sealed {
			connect, try = s.connectSplit, s.silent
		}
		client, policy := connect(clientOf(srv)), s.macvlanPolicy(srv)
		s.macvlan()
		// A host that begins to forward joins groups, and says so for a second or two.
		if err := s.lab.Settled(s.ctx, policy, 1500*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for _, name := range server {
			try(s.lab.Guest, s.asUser(name), probe.Order{Name: name}, policy)
		}
		for _, name := range child {
			try(s.lab.Guest, s.asUser(name), probe.Order{Name: name, Dev: "mv0"}, policy)
		}
		s.guestUsesTheTunnel()
		s.killed(client)
		for _, name := range append(inside, server...) {
			try(s.lab.Guest, s.asUser(name), probe.Order{Name: name}, policy)
		}
	}
}
