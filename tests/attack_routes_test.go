package tests

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// victim is whom an injection leads past the tunnel to, and the probes that go there.
func victim(i lab.Injection) (netip.Addr, []string) {
	if strings.HasSuffix(string(i), "v6") {
		return site.Public6, []string{"udp-public-v6", "tcp-public-v6", "icmp-public-v6"}
	}
	return site.Public, []string{"udp-public", "tcp-public", "icmp-public"}
}

// onLink are the injections that make a public address a neighbour's.
func onLink(i lab.Injection) bool {
	return strings.Contains(string(i), "local net") || i == lab.WideNet
}

func TestInjectedRoutesLeadNowhere(t *testing.T) {
	t.Parallel()
	t.Run("guard off", func(t *testing.T) {
		srv := openvpn.Server{}
		s := newScene(t, "")
		s.serve(srv)
		s.bare(clientOf(srv))
		policy := s.policy(srv)
		for _, i := range lab.Injections {
			addr, names := victim(i)
			undo := s.inject(i)
			start := s.mark()
			for _, name := range names {
				s.shows(s.lab.Client, s.user, probe.Order{Name: name}, policy)
			}
			if onLink(i) && len(asked(s.since(start), addr)) == 0 {
				t.Errorf("%s: nobody asked the LAN for %s", i, addr)
			}
			undo()
		}
	})
	t.Run("sealed", func(t *testing.T) {
		srv := openvpn.Server{}
		s := newScene(t, "")
		s.serve(srv)
		s.connect(clientOf(srv))
		policy, start := s.policy(srv), s.mark()
		for _, i := range lab.Injections {
			undo := s.inject(i)
			s.routesLeadNowhere(i, policy)
			undo()
			s.alive("after " + string(i))
		}
		s.explained(start, policy)
	})
	// The network was hostile before the client came.
	for _, i := range []lab.Injection{lab.HostRoute, lab.QuarterRoutes, lab.LocalNet, lab.WideNet, lab.NetRoute6, lab.LocalNet6} {
		t.Run("sealed later than "+string(i), func(t *testing.T) {
			srv := openvpn.Server{}
			s := newScene(t, "")
			s.serve(srv)
			s.inject(i)
			s.connect(clientOf(srv))
			policy, start := s.policy(srv), s.mark()
			s.routesLeadNowhere(i, policy)
			s.explained(start, policy)
		})
	}
}

func (s *scene) inject(i lab.Injection) (undo func()) {
	s.Helper()
	back, err := s.lab.Inject(s.ctx, i)
	if err != nil {
		s.Fatal(err)
	}
	// Who was asked for before is not asked for again.
	if err := s.lab.Client.Script(s.ctx, "ip -4 neigh flush all\nip -6 neigh flush all\n"); err != nil {
		s.Fatal(err)
	}
	return func() {
		s.Helper()
		if err := back(s.ctx); err != nil {
			s.Fatal(err)
		}
	}
}

// routesLeadNowhere demands that nothing follows the injected routes, and that
// nobody on the LAN is asked for the public address either.
func (s *scene) routesLeadNowhere(i lab.Injection, policy wire.Policy) {
	s.Helper()
	addr, names := victim(i)
	s.serverAnswers("with " + string(i))
	start := s.mark()
	for _, name := range names {
		for _, uid := range s.uids() {
			s.silent(s.lab.Client, uid, probe.Order{Name: name}, policy)
		}
	}
	if found := wire.Mentioning(s.since(start), addr); len(found) > 0 {
		s.Errorf("%s: the wire tells of %s: %s", i, addr, wire.Describe(found[0]))
	}
	s.serverAnswers("after the probes with " + string(i))
}

// asked are the ARP requests and neighbour solicitations about addr.
func asked(frames []wire.Frame, addr netip.Addr) []wire.Frame {
	var list []wire.Frame
	for _, f := range wire.Mentioning(frames, addr) {
		arp := f.Data[12] == 0x08 && f.Data[13] == 0x06
		solicitation := len(f.Data) > 54 && f.Data[12] == 0x86 && f.Data[20] == 58 && f.Data[54] == 135
		if arp || solicitation {
			list = append(list, f)
		}
	}
	return list
}

// serverAnswers demands an answer of the server's own address in the tunnel,
// which no injected route leads elsewhere.
func (s *scene) serverAnswers(when string) {
	s.Helper()
	if _, err := s.lab.Client.Run(s.ctx, "busybox", "ping", "-c", "1", "-W", "5", "10.8.0.1"); err != nil {
		s.Fatalf("the tunnel %s: %v", when, err)
	}
}
