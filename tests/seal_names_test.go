package tests

import (
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// nameProbes ask for names on the LAN, which tells it what is looked for.
var nameProbes = []string{
	"dns-udp-lan", "dns-tcp-lan", "dot-udp-lan", "dot-tcp-lan", "mdns", "llmnr", "ssdp", "wsd", "netbios-ns", "netbios-dgm",
}

// lanProbes are what a user who allows the LAN wants.
var lanProbes = []string{"udp-lan", "tcp-lan", "icmp-lan"}

// A LAN that the user allows still hears no names, and inside the tunnel only
// the session's own resolver is asked.
func TestNamesAreAskedOfTheSessionsResolverOnly(t *testing.T) {
	t.Parallel()
	srv := openvpn.Server{Push: []string{"dhcp-option DNS 1.1.1.1"}}
	resolver, other := netip.AddrPortFrom(site.PublicTwo, probe.DNSPort), []string{"dns-udp-public", "dns-tcp-public", "dns-udp-public-v6", "dns-tcp-public-v6"}
	for _, sealed := range []bool{false, true} {
		s := newScene(t, "")
		s.serve(srv)
		s.configure("lan = true\n")
		policy := s.policy(srv)
		if !sealed {
			s.bare(clientOf(srv))
			for _, name := range nameProbes {
				s.shows(s.lab.Client, s.user, probe.Order{Name: name}, policy)
			}
			for _, name := range other {
				if a := s.silent(s.lab.Client, s.user, probe.Order{Name: name}, policy); a.Receipt.Sent == 0 {
					t.Errorf("guard off: %s: the tunnel did not take it", a.Receipt)
				}
			}
			continue
		}
		s.connect(clientOf(srv))
		for _, uid := range s.uids() {
			for _, name := range nameProbes {
				s.silent(s.lab.Client, uid, probe.Order{Name: name}, policy)
			}
			for _, name := range other {
				if a := s.silent(s.lab.Client, uid, probe.Order{Name: name}, policy); a.Receipt.Sent > 0 {
					t.Errorf("%s: another resolver was asked", a.Receipt)
				}
			}
			for _, name := range lanProbes {
				if a, err := s.lab.Control(s.ctx, s.lab.Client, uid, probe.Order{Name: name}); err != nil || len(a.Seen) == 0 {
					t.Errorf("the LAN that the user allows: %s: %v", a.Receipt, err)
				}
			}
		}
		s.resolves(resolver)
		s.alive("after the questions")
	}
}
