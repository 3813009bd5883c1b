package tests

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// The lock's endpoints in the matrix, one of each family and protocol.
var lockServers = []openvpn.Server{{}, {Proto: "tcp", Address: site.Server6}}

// Without a tunnel nothing covers any probe: all of the seal's list show with
// the guard off, and none behind a lock.
func TestNoProbeGetsPastTheLock(t *testing.T) {
	t.Run("guard off", func(t *testing.T) {
		t.Parallel()
		s := newMatrixScene(t)
		for _, x := range s.tries(openvpn.Server{}, nil) {
			s.shows(s.lab.Client, x.uid, x.order, s.lab.Policy())
		}
		for _, srv := range lockServers {
			for _, x := range s.carrierTries(srv) {
				s.shows(s.lab.Client, x.uid, x.order, s.lab.Policy())
			}
		}
	})
	// In a laboratory of its own: translated, a guest's GRE must not meet a flow of the host's.
	t.Run("guard off, guests", func(t *testing.T) {
		t.Parallel()
		s := newMatrixScene(t)
		s.guestTries(guestProbes, func(uid int, p probe.Probe) {
			s.shows(s.lab.Guest, uid, probe.Order{Name: p.Name}, s.lab.Policy())
		})
		s.macvlan()
		s.guestTries(macvlanProbes, func(uid int, p probe.Probe) {
			s.shows(s.lab.Guest, uid, probe.Order{Name: p.Name, Dev: "mv0"}, s.macvlanPolicy(openvpn.Server{}))
		})
	})
	for name, servers := range map[string][]openvpn.Server{"locked without an endpoint": nil, "locked with endpoints": lockServers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newMatrixScene(t)
			before := s.snapshot()
			args := []string{"lock"}
			for _, srv := range servers {
				args = append(args, "--endpoint", fmt.Sprintf("%s/%s", srv.Endpoint(), protoOf(srv)))
			}
			if servers == nil {
				args = append(args, "--guests", "guest0") // to whom it is worth nothing without a tunnel
			}
			s.must(0, args...)
			s.must(0, "status")
			s.everyProbeStaysIn(servers)
			if err := s.lab.Guest.Script(s.ctx, "ip link del mv0\n"); err != nil {
				t.Fatal(err)
			}
			s.must(0, "unlock")
			s.restored(before)
		})
	}
}

// newMatrixScene has a host with a guest behind it, and subflows. Its other
// link, a macvlan child, comes when the host's forwarding has been tried: the
// guest would reach the LAN by it.
func newMatrixScene(t *testing.T) *scene {
	t.Helper()
	s := newScene(t, "")
	if err := s.lab.EnableGuest(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.newLinksAreSilent()
	if err := s.lab.EnableSubflows(s.ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func protoOf(srv openvpn.Server) string {
	if srv.Proto == "" {
		return "udp"
	}
	return srv.Proto
}

// carrierTries aim at a server's endpoint with both protocols, as everybody.
func (s *scene) carrierTries(srv openvpn.Server) []try {
	return s.tries(srv, []string{"udp-carrier-port", "tcp-carrier-port"})
}

// everyProbeStaysIn judges each try by itself, and in the end the whole time.
func (s *scene) everyProbeStaysIn(servers []openvpn.Server) {
	s.Helper()
	policy := s.macvlanPolicy(openvpn.Server{})
	policy.Carriers = nil
	for _, srv := range servers {
		policy.Carriers = append(policy.Carriers, s.policy(srv).Carriers...)
	}
	start, passed := s.mark(), map[string]bool{}
	var nonces []string
	quiet := func(x try) {
		s.Helper()
		nonces = append(nonces, s.silent(s.lab.Client, x.uid, x.order, policy).Receipt.Nonce)
	}
	s.guestTries(guestProbes, func(uid int, p probe.Probe) {
		nonces = append(nonces, s.silent(s.lab.Guest, uid, probe.Order{Name: p.Name}, policy).Receipt.Nonce)
	})
	elsewhere := openvpn.Server{Port: 1195} // as the list's own carrier, an endpoint that no lock names
	for _, x := range s.tries(elsewhere, nil) {
		quiet(x)
	}
	for _, srv := range lockServers {
		for _, x := range s.carrierTries(srv) {
			if servers != nil && x.own(srv) {
				s.ownerPasses(x, policy)
				passed[x.Name] = true
			} else {
				quiet(x)
			}
		}
	}
	s.macvlan()
	s.guestTries(macvlanProbes, func(uid int, p probe.Probe) {
		s.silent(s.lab.Guest, uid, probe.Order{Name: p.Name, Dev: "mv0"}, policy)
	})
	v := s.explained(start, policy)
	frames := s.since(start)
	for _, n := range nonces {
		if found := wire.FindNonce(frames, n); len(found) > 0 {
			s.Errorf("nonce %s is on the wire: %s", n, wire.Describe(found[0]))
		}
	}
	for _, addr := range []netip.Addr{site.Public, site.Public6, site.PublicTwo} {
		if found := wire.Mentioning(frames, addr); len(found) > 0 {
			s.Errorf("the wire tells of %s: %s", addr, wire.Describe(found[0]))
		}
	}
	if want := len(servers); len(passed) != want {
		s.Errorf("the owner passed by %v, want %d ways", passed, want)
	}
	s.Logf("%d tries silent; on the wire: %v", len(nonces), v)
}
