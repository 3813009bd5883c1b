package tests

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// servicePort is where the client answers, and where the LAN's router leads to.
const servicePort = "4000"

// A probe from the internet to the host's real address must not be answered
// through the tunnel: that would join the two addresses (ValdikSS).
func TestAProbeAtTheRealAddressIsNotAnsweredThroughTheTunnel(t *testing.T) {
	t.Parallel()
	splitQuiet := splitServer()
	splitQuiet.Ping, splitQuiet.Restart = quietServer.Ping, quietServer.Restart
	for _, c := range []struct {
		name    string
		srv     openvpn.Server
		connect func(*scene, openvpn.Client) *openvpn.Process
		sealed  bool
	}{
		{"guard off", quietServer, (*scene).bare, false}, {"sealed", quietServer, (*scene).connect, true},
		{"guard off, split", splitQuiet, (*scene).bare, false}, {"sealed, split", splitQuiet, (*scene).connectSplit, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, sealed := newScene(t, ""), c.sealed
			s.serve(c.srv)
			s.portForwarded()
			s.newLinksAreSilent()
			s.job(s.lab.Client, "serve", servicePort)
			c.connect(s, clientOf(c.srv))
			s.alive("before the probes")
			policy := s.policy(c.srv)
			s.quiet(policy)
			for _, way := range [][3]string{
				{"udp", site.Public.String(), site.WAN.String()}, {"tcp", site.Public.String(), site.WAN.String()},
				{"udp", site.Public6.String(), site.Client6.String()}, {"tcp", site.Public6.String(), site.Client6.String()},
			} {
				m, arrived := s.mark(), s.arrived()
				said := s.job(s.lab.Internet, "ask", way[0], way[1], way[2], servicePort)
				if s.arrived() == arrived {
					t.Errorf("%s to %s never came to the client's cable", way[0], way[2])
				}
				v := policy.Judge(s.since(m))
				if in := v.Counts[wire.CarrierClass]; sealed && (in > 0 || len(v.Leaks) > 0) || !sealed && in == 0 {
					t.Errorf("%v: %s; %v", way, said, v)
				}
			}
			s.alive("after the probes")
		})
	}
}

// portForwarded makes the LAN's router lead a port to the client, as UPnP does,
// and count what it sends there.
func (s *scene) portForwarded() {
	s.Helper()
	if err := s.lab.Gateway.Script(s.ctx, `nft -f - <<END
table inet forwarded {
	chain nat {
		type nat hook prerouting priority dstnat
		iifname "wan0" ip daddr 198.51.100.2 th dport `+servicePort+` dnat ip to 192.168.1.101
	}
	chain count {
		type filter hook postrouting priority 0
		oifname "lan0" th dport `+servicePort+` counter
	}
}
END
`); err != nil {
		s.Fatal(err)
	}
}

var packets = regexp.MustCompile(`counter packets (\d+)`)

// arrived counts the packets for the service that the router put on the cable.
func (s *scene) arrived() int {
	s.Helper()
	out, err := s.lab.Gateway.Run(s.ctx, "nft", "list", "chain", "inet", "forwarded", "count")
	if err != nil {
		s.Fatal(err)
	}
	n, err := strconv.Atoi(packets.FindStringSubmatch(out)[1])
	if err != nil {
		s.Fatal(err)
	}
	return n
}
