package tests

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// The own tunnel with all traffic in it: no probe shows on the wire, whoever
// sends it, not even while engines are killed one after the other, nor after the
// supervisor was killed. There is no owner among people: the carrier's own tuple
// is refused to root as well.
func TestNoProbeGetsPastTheTunnelsSeal(t *testing.T) {
	s := newTunnelScene(t)
	s.configureTunnel("0.0.0.0/0, ::/0", "DNS = 8.8.8.8")
	s.showsBare(essential)
	before := s.snapshot()
	s.up()
	s.must(0, "status")
	s.silentAll(nil, 0)
	s.silentAll(essential, s.user)
	s.must(0, "status")
	s.again("all probes")
	s.resolves(netip.AddrPortFrom(site.Public, probe.DNSPort))
	if text, err := os.ReadFile(s.lab.Client.Path("/etc/resolv.conf")); err != nil || !strings.Contains(string(text), "nameserver 8.8.8.8\n") {
		t.Errorf("the tunnel's resolver is not set: %v\n%s", err, text)
	}

	if killed := s.killEngines(func() { s.silentAll(essential, s.uids()...) }); killed < 3 {
		t.Errorf("%d engines were killed, want one after the other", killed)
	}
	s.again("engines were killed")
	s.state("sealed")
	if err := syscall.Kill(s.supervisor(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.vanishes()
	s.silentAll([]string{"udp-public", "tcp-public-v6", "udp-server", "udp-carrier-port", "bind-device-udp", "packet-ipv4", "dns-udp-lan"}, s.uids()...)
	s.must(0, "recover")
	s.gone(before)
}

// showsBare is the control: without a tunnel each probe shows, as the weakest user
// who may run it. It leaves the host ready for probes by subflows.
func (s *tunnelScene) showsBare(names []string) {
	s.Helper()
	bare := s.policyOf()
	bare.Carriers = nil
	for _, x := range s.tries(far, names) {
		if x.uid == s.user || x.Privileged {
			s.shows(s.lab.Client, x.uid, x.order, bare)
		}
	}
	if err := s.lab.EnableSubflows(s.ctx); err != nil {
		s.Fatal(err)
	}
}

// silentAll runs probes as users, each of which must not show, and judges all
// that left meanwhile.
func (s *tunnelScene) silentAll(names []string, uids ...int) {
	s.Helper()
	policy, start := s.policyOf(), s.mark()
	for _, x := range s.tries(openvpn.Server{Proto: "udp", Address: far.Address}, names) {
		if slices.Contains(uids, x.uid) {
			s.silent(s.lab.Client, x.uid, x.order, policy)
		}
	}
	if v := policy.Judge(s.since(start)); len(v.Leaks) > 0 {
		s.Errorf("unexplained on the wire: %v", v)
	}
}
