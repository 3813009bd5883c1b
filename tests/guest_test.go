package tests

import (
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// guestProbes are what a forwarded guest tries. After the tunnel is lost, the
// first of them leak without a guard; Port Fail leaks beside the tunnel too.
var guestProbes = []string{
	"udp-public", "tcp-public", "icmp-public", "udp-public-v6", "tcp-public-v6", "icmp-public-v6",
	"udp-server", "tcp-server", "icmp-server", "udp-carrier-port", "tcp-carrier-port",
	"dns-udp-lan", "dns-tcp-lan", "dot-tcp-lan", "dns-udp-public", "udp-lan", "tcp-lan", "icmp-lan", "raw-ip", "fragments", "proto-gre",
}

// guestTries calls f for each try of a guest, by the weakest user that may: the
// host forwards packets, which have no user.
func (s *scene) guestTries(names []string, f func(uid int, p probe.Probe)) {
	s.Helper()
	for _, name := range names {
		p, err := probe.Find(name)
		if err != nil {
			s.Fatal(err)
		}
		f(s.asUser(name), p)
	}
}

func TestAForwardedGuestGetsNoWayPastTheSeal(t *testing.T) {
	t.Parallel()
	srv := openvpn.Server{Ping: time.Minute, Restart: 5 * time.Minute} // carriers are counted
	t.Run("guard off", func(t *testing.T) {
		s := newScene(t, "")
		s.serve(srv)
		if err := s.lab.EnableGuest(s.ctx); err != nil {
			t.Fatal(err)
		}
		policy := s.policy(srv)
		policy.Carriers = nil
		s.guestTries(guestProbes, func(uid int, p probe.Probe) {
			s.shows(s.lab.Guest, uid, probe.Order{Name: p.Name}, policy)
		})
		// Beside a tunnel, what has a route past it.
		s.bare(clientOf(srv))
		policy = s.policy(srv)
		for _, name := range []string{"udp-server", "tcp-server", "icmp-server", "udp-carrier-port", "dns-udp-lan", "tcp-lan"} {
			s.shows(s.lab.Guest, s.user, probe.Order{Name: name}, policy)
		}
	})
	for name, toml := range map[string]string{"sealed": "", "sealed with the guest named": "guests = [\"guest0\"]\n"} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "")
			s.serve(srv)
			if err := s.lab.EnableGuest(s.ctx); err != nil {
				t.Fatal(err)
			}
			s.newLinksAreSilent()
			s.configure(toml)
			before := s.snapshot()
			client := s.connect(clientOf(srv))
			policy := s.policy(srv)
			s.alive("before the guest's probes")
			s.quiet(policy)
			start := s.mark()
			s.guestTries(guestProbes, func(uid int, p probe.Probe) {
				a := s.silent(s.lab.Guest, uid, probe.Order{Name: p.Name}, policy)
				if n := a.Judge(policy).Counts[wire.CarrierClass]; toml == "" && n > 0 {
					t.Errorf("%s of a guest that nobody named: %d packets in the tunnel", p.Name, n)
				}
				s.alive("after the guest's " + p.Name)
			})
			if toml != "" {
				s.guestUsesTheTunnel()
			}
			s.explained(start, policy)
			s.killed(client)
			m := s.mark()
			s.guestTries(guestProbes, func(uid int, p probe.Probe) {
				s.silent(s.lab.Guest, uid, probe.Order{Name: p.Name}, policy)
			})
			if v := s.explained(m, policy); v.Counts[wire.CarrierClass] > 0 {
				t.Errorf("with the client gone: %v", v)
			}
			s.must(0, "down", "--all")
			// A client that was killed leaves its route to the server behind.
			if _, err := s.lab.Client.Run(s.ctx, "ip", "route", "del", site.Server.String()); err != nil {
				t.Fatal(err)
			}
			s.restored(before)
		})
	}
}

// guestUsesTheTunnel demands that the internet sees the guest as the server.
func (s *scene) guestUsesTheTunnel() {
	s.Helper()
	for to, want := range map[netip.Addr]netip.Addr{site.Public: site.Server, site.Public6: site.Server6} {
		for _, network := range []string{"udp", "tcp"} {
			seen, err := s.lab.SeenAs(s.ctx, s.lab.Guest, s.user, network, netip.AddrPortFrom(to, probe.EchoPort))
			if err != nil || seen != want {
				s.Errorf("the guest by %s to %s is seen as %v, want %v: %v", network, to, seen, want, err)
			}
		}
	}
}

// macvlanProbes leave by the guest's own link, past every hook of the host but
// the wire's.
var macvlanProbes = []string{
	"bind-device-udp", "bind-device-tcp", "bind-device-icmp", "bind-device-udp-v6", "bind-device-tcp-v6", "bind-device-icmp-v6",
	"bind-device-udp-server", "multicast-if", "multicast-if-v6", "mdns", "mdns-v6", "igmp-join", "mld-join", "raw-ip", "raw-ip-v6", "fragments",
	"packet-ipv4", "packet-ipv6", "packet-arp", "packet-odd-type", "packet-vlan",
	"packet-ipv4-bypass", "packet-ipv6-bypass", "packet-arp-bypass", "packet-arp-padding-bypass",
}

func TestAMacvlanChildGetsNoWayPastTheSeal(t *testing.T) {
	t.Parallel()
	srv := openvpn.Server{}
	t.Run("guard off", func(t *testing.T) {
		s := newScene(t, "")
		s.serve(srv)
		s.macvlan()
		s.bare(clientOf(srv))
		policy := s.policy(srv)
		s.guestTries(macvlanProbes, func(uid int, p probe.Probe) {
			s.shows(s.lab.Guest, uid, probe.Order{Name: p.Name, Dev: "mv0"}, policy)
		})
		// It claims public addresses on the LAN, as LocalNet does, and asks for them.
		s.macvlanClaims()
		m := s.mark()
		s.shows(s.lab.Guest, s.user, probe.Order{Name: "bind-device-udp", Dev: "mv0"}, policy)
		s.shows(s.lab.Guest, s.user, probe.Order{Name: "bind-device-udp-v6", Dev: "mv0"}, policy)
		for _, addr := range []netip.Addr{site.Public, site.Public6} {
			if len(asked(s.since(m), addr)) == 0 {
				t.Errorf("the child asked nobody for %s", addr)
			}
		}
	})
	for _, late := range []bool{false, true} {
		name := "sealed"
		if late {
			name = "the child comes after the seal"
		}
		t.Run(name, func(t *testing.T) {
			s := newScene(t, "")
			s.serve(srv)
			if !late {
				s.macvlan()
			}
			s.connect(clientOf(srv))
			policy, start := s.macvlanPolicy(srv), s.mark()
			if late {
				s.macvlan()
			}
			s.guestTries(macvlanProbes, func(uid int, p probe.Probe) {
				s.silent(s.lab.Guest, uid, probe.Order{Name: p.Name, Dev: "mv0"}, policy)
			})
			s.alive("after the child's probes")
			s.macvlanClaims()
			for _, name := range []string{"bind-device-udp", "bind-device-udp-v6"} {
				s.silent(s.lab.Guest, s.user, probe.Order{Name: name, Dev: "mv0"}, policy)
			}
			for _, addr := range []netip.Addr{site.Public, site.Public6} {
				if found := wire.Mentioning(s.since(start), addr); len(found) > 0 {
					t.Errorf("the wire tells of %s: %s", addr, wire.Describe(found[0]))
				}
			}
			s.explained(start, policy)
		})
	}
}

func (s *scene) macvlan() {
	s.Helper()
	if err := s.lab.EnableMacvlan(s.ctx); err != nil {
		s.Fatal(err)
	}
	ping := "/proc/sys/net/ipv4/ping_group_range"
	if err := s.lab.Guest.Script(s.ctx, "echo 0 65535 > "+ping+" 2>/dev/null || echo 0 0 > "+ping+"\n"); err != nil {
		s.Fatal(err)
	}
}

// macvlanPolicy also explains the child's own link upkeep: it has an address of
// its own on the LAN and may look for the gateway, no further.
func (s *scene) macvlanPolicy(srv openvpn.Server) wire.Policy {
	p := s.policy(srv)
	p.MACs = append(p.MACs, site.MAC(site.MacvlanMAC))
	p.Hosts = append(p.Hosts, site.Macvlan, netip.MustParseAddr("2001:db8:1::102"), netip.MustParseAddr("fe80::ff:fe00:166"))
	return p
}

// macvlanClaims makes the public addresses neighbours of the child.
func (s *scene) macvlanClaims() {
	s.Helper()
	if err := s.lab.Gateway.Script(s.ctx, "echo 1 > /proc/sys/net/ipv4/conf/lan0/proxy_arp\necho 1 > /proc/sys/net/ipv6/conf/lan0/proxy_ndp\nip -6 neigh replace proxy 2001:db8:80::80 dev lan0\n"); err != nil {
		s.Fatal(err)
	}
	if err := s.lab.Guest.Script(s.ctx, "ip addr add 8.8.8.78/24 dev mv0\nip addr add 2001:db8:80::78/64 dev mv0 nodad\nip -4 neigh flush all\nip -6 neigh flush all\n"); err != nil {
		s.Fatal(err)
	}
}

// killed ends the client without its hooks, and waits.
func (s *scene) killed(p *openvpn.Process) {
	s.Helper()
	if err := p.Signal(syscall.SIGKILL); err != nil {
		s.Fatal(err)
	}
	if _, err := p.Wait(s.ctx); err != nil {
		s.Fatal(err)
	}
}
