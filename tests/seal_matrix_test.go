package tests

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// covered tells whether a probe goes into a tunnel by itself, because a route
// leads there. Its control is a host without a tunnel.
func covered(name string, srv openvpn.Server) bool {
	if _, which, found := strings.Cut(name, "-server"); found && !strings.HasPrefix(name, "bind-") {
		// The client makes a route past the tunnel for the one address of its server.
		return which == "2" || (which == "-v6") != srv.Endpoint().Addr().Is6()
	}
	return slices.ContainsFunc([]string{
		"udp-public", "tcp-public", "icmp-public", "icmp-raw-public", "udp-v4-mapped", "broadcast",
		"dns-udp-public", "dns-tcp-public", "dot-udp-public", "dot-tcp-public",
		"source-udp", "source-tcp", "record-route", "proto-",
	}, func(group string) bool { return strings.HasPrefix(name, group) })
}

// essential are the probes that a transport can make a difference to.
var essential = []string{
	"udp-public", "tcp-public", "udp-public-v6", "tcp-public-v6", "icmp-public-v6",
	"udp-server", "tcp-server", "icmp-server", "udp-server-v6", "tcp-server-v6", "icmp-server-v6", "icmp-raw-server",
	"udp-server2", "udp-lan", "udp-lan-v6", "udp-carrier-port", "tcp-carrier-port",
	"dns-udp-lan", "dns-tcp-lan", "dns-udp-lan-v6", "dns-udp-public", "dot-tcp-lan", "mdns", "mdns-v6",
	"bind-device-udp", "bind-device-udp-server", "bind-device-tcp", "bind-device-udp-v6", "bind-device-tcp-v6",
	"source-udp", "source-tcp-v6", "raw-ip", "raw-ip-v6", "fragments", "fragments-v6", "routing-header-v6",
	"proto-sixinfour", "proto-gre-v6", "packet-ipv4", "packet-ipv6", "packet-ipv4-bypass", "packet-ipv6-bypass", "packet-arp", "packet-odd-type",
}

// A try is a probe by one user.
type try struct {
	probe.Probe
	uid   int
	order probe.Order
}

func (s *scene) tries(srv openvpn.Server, names []string) []try {
	var list []try
	for _, p := range probe.All() {
		if names != nil && !slices.Contains(names, p.Name) {
			continue
		}
		o := probe.Order{Name: p.Name, Carrier: srv.Endpoint()}
		for _, uid := range s.uids() {
			if uid == 0 || !p.Privileged {
				list = append(list, try{p, uid, o})
			}
		}
	}
	return list
}

// own tells whether the try is the owner's right: the client is root, so root
// may send to exactly its endpoint.
func (x try) own(srv openvpn.Server) bool {
	proto := "udp"
	if srv.Proto == "tcp" {
		proto = "tcp"
	}
	return x.uid == 0 && x.Name == proto+"-carrier-port"
}

func TestNoProbeGetsPastTheSeal(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		names := essential
		if tr.name == "udp4" {
			names = nil // all of them
		}
		t.Run(tr.name, func(t *testing.T) {
			t.Run("guard off", func(t *testing.T) { everyProbeShows(t, tr.server(), names) })
			t.Run("sealed", func(t *testing.T) { everyProbeIsSilent(t, tr.server(), names) })
		})
	}
}

// everyProbeShows is the control: first without a tunnel those probes that the
// tunnel's routes would cover, then past a tunnel all others.
func everyProbeShows(t *testing.T, srv openvpn.Server, names []string) {
	s := newScene(t, "")
	s.serve(srv)
	policy := s.policy(srv)
	policy.Carriers = nil // there is no client yet: nothing explains what goes to the server
	tries := s.tries(srv, names)
	for _, x := range tries {
		if covered(x.Name, srv) {
			s.shows(s.lab.Client, x.uid, x.order, policy)
		}
	}
	s.bare(clientOf(srv))
	if err := s.lab.EnableSubflows(s.ctx); err != nil {
		t.Fatal(err)
	}
	policy = s.policy(srv)
	past := 0
	for _, x := range tries {
		if !covered(x.Name, srv) {
			s.shows(s.lab.Client, x.uid, x.order, policy)
			past++
			continue
		}
		a, err := s.lab.Try(s.ctx, s.lab.Client, x.uid, x.order)
		if err != nil || len(a.Seen) > 0 {
			t.Errorf("%s as uid %d past the tunnel: %d frames, %v", x.Name, x.uid, len(a.Seen), err)
		}
	}
	t.Logf("%d tries show past the tunnel, %d without one", past, len(tries)-past)
}

// everyProbeIsSilent judges each try by itself, and in the end the whole time,
// for what the kernel sends late.
func everyProbeIsSilent(t *testing.T, srv openvpn.Server, names []string) {
	s := newScene(t, "")
	s.serve(srv)
	if err := s.lab.EnableSubflows(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.connect(clientOf(srv))
	s.must(0, "status")
	policy, start := s.policy(srv), s.mark()
	var nonces []string
	sent, refused := 0, map[string]int{}
	s.alive("before")
	for _, x := range s.tries(srv, names) {
		if x.own(srv) {
			s.ownerPasses(x, policy)
			continue
		}
		a := s.silent(s.lab.Client, x.uid, x.order, policy)
		s.alive("after " + x.Name)
		nonces = append(nonces, a.Receipt.Nonce)
		sent += a.Receipt.Sent
		for _, send := range a.Receipt.Sends {
			if send.Errno != 0 {
				refused[send.Error]++
			}
		}
	}
	v := s.explained(start, policy)
	frames := s.since(start)
	for _, n := range nonces {
		if found := wire.FindNonce(frames, n); len(found) > 0 {
			t.Errorf("nonce %s is on the wire: %s", n, wire.Describe(found[0]))
		}
	}
	t.Logf("%d tries, %d sends taken, refused %v; on the wire: %v", len(nonces), sent, summary(refused), v)
}

// ownerPasses shows that the exception is one: the owner's packet to exactly
// the endpoint is on the wire.
func (s *scene) ownerPasses(x try, policy wire.Policy) {
	s.Helper()
	a, err := s.lab.Try(s.ctx, s.lab.Client, x.uid, x.order)
	if err != nil || len(a.Seen) == 0 {
		s.Errorf("%s by the owner: %d frames: %v", a.Receipt, len(a.Seen), err)
	}
	if v := policy.Judge(a.Frames); len(v.Leaks) > 0 {
		s.Errorf("%s by the owner: %v", x.Name, v)
	}
}

func summary(refused map[string]int) string {
	var parts []string
	for what, n := range refused {
		parts = append(parts, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
