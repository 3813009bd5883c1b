package tests

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// insideAddress is what the VPN server sees of a client through the tunnel.
var insideAddress = netip.MustParseAddr("10.8.0.2")

// steerScene is a VPN server that has other ports than its own on its address.
func steerScene(t *testing.T) (*scene, openvpn.Server) {
	t.Helper()
	srv := openvpn.Server{}
	s := newScene(t, "")
	if err := s.lab.ServeAtServer(); err != nil {
		t.Fatal(err)
	}
	s.serve(srv)
	return s, srv
}

// open is a client that lets the server's address through its tunnel, as
// `hooks show openvpn` tells it to.
func open(c openvpn.Client) openvpn.Client {
	c.Extra = append(c.Extra, "allow-recursive-routing")
	return c
}

// atServersAddress asks who the server takes a stranger for that connects to
// another port of its address.
func (s *scene) atServersAddress(uid int, network string) (netip.Addr, error) {
	return s.lab.SeenAs(s.ctx, s.lab.Client, uid, network, netip.AddrPortFrom(site.Server, probe.EchoPort))
}

// Port Fail works instead of failing.
func TestStrangersReachTheServersAddressThroughTheTunnel(t *testing.T) {
	t.Run("guard off", func(t *testing.T) {
		s, srv := steerScene(t)
		s.bare(clientOf(srv))
		for _, network := range []string{"udp", "tcp"} {
			if seen, err := s.atServersAddress(s.user, network); err != nil || seen != site.WAN {
				t.Errorf("%s: the server sees %v, want the host's own address in clear: %v", network, seen, err)
			}
		}
	})
	t.Run("not steered", func(t *testing.T) {
		s, srv := steerScene(t)
		s.configure("steer = \"off\"\n")
		s.connect(clientOf(srv))
		for _, network := range []string{"udp", "tcp"} {
			if seen, err := s.atServersAddress(s.user, network); err == nil {
				t.Errorf("%s: the server sees %v: without steering it is refused", network, seen)
			}
		}
	})
	t.Run("steered", func(t *testing.T) {
		s, srv := steerScene(t)
		before := s.snapshot()
		client := s.connect(open(clientOf(srv)))
		policy, start := s.policy(srv), s.mark()
		for _, uid := range s.uids() {
			for _, network := range []string{"udp", "tcp"} {
				if seen, err := s.atServersAddress(uid, network); err != nil || seen != insideAddress {
					t.Errorf("%s as uid %d: the server sees %v, want %v: %v", network, uid, seen, insideAddress, err)
				}
			}
		}
		s.injectedDuringATransfer()
		s.explained(start, policy)
		s.must(0, "status")
		if _, err := client.Stop(s.ctx); err != nil {
			t.Error(err)
		}
		s.must(0, "down", "--all")
		s.restored(before)
	})
}

// injectedDuringATransfer demands that a transfer goes on while a rogue DHCP
// server leads its destination elsewhere.
func (s *scene) injectedDuringATransfer() {
	s.Helper()
	const bytes, longest = 24 << 20, 20 * time.Second
	done := make(chan error, 1)
	begin := time.Now()
	go func() { done <- s.lab.Transfer(s.ctx, s.user, site.Public, bytes) }()
	for _, i := range []lab.Injection{lab.HostRoute, lab.NetRoute, lab.HalfRoutes, lab.QuarterRoutes} {
		defer s.inject(i)()
	}
	s.alive("with injected routes")
	select {
	case err := <-done:
		if err != nil {
			s.Errorf("a transfer with injected routes: %v", err)
		}
		s.Logf("%d MiB each way took %s", bytes>>20, time.Since(begin))
	case <-time.After(longest):
		s.Errorf("a transfer stalls since routes were injected")
	}
}

// A tunnel that is gone gives an error at once; what had no guard goes on in clear.
func TestVanishedTunnelIsAnErrorAtOnce(t *testing.T) {
	srv := openvpn.Server{}
	s := newScene(t, "")
	s.serve(srv)
	s.connect(clientOf(srv))
	policy := s.policy(srv)
	s.alive("before")
	if err := s.lab.Client.Script(s.ctx, "ip link del tun0\n"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"udp-public", "tcp-public", "icmp-public", "udp-public-v6", "tcp-public-v6"} {
		a := s.silent(s.lab.Client, s.user, probe.Order{Name: name}, policy)
		if a.Receipt.Sent > 0 {
			t.Errorf("%s: the program was not refused", a.Receipt)
		}
		for _, send := range a.Receipt.Sends {
			if send.Errno == 0 || strings.Contains(send.Error, "timed out") {
				t.Errorf("%s: %s: %q is no error at once", name, send.What, send.Error)
			}
		}
	}
}
