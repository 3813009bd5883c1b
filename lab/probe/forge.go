package probe

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// Addresses that a forger promises: a router that is not there, and a prefix.
var (
	Stranger      = netip.MustParseAddr("192.168.1.55")
	FalseRouter   = netip.MustParseAddr("192.168.1.66")
	ForgedRoute   = netip.MustParsePrefix("2001:db8:80::/48")
	forgedLinkNet = netip.MustParsePrefix("2001:db8:1::/64")
)

// ForgedMTU is above the least that kernels believe (552), and below what is sent.
const ForgedMTU = 600

// Forgeries are what the LAN's router sends to change the client's ways. What
// came of it shows by other probes.
func Forgeries() []Probe {
	return []Probe{
		{Name: "ra-default", To: "a router advertisement with a prefix and a lifetime", Privileged: true, send: func(s *shot) {
			// RFC 4861, section 4.2; RFC 4191 for the preference, high.
			s.advertise(1800, append([]byte{3, 4, 64, 0xc0, 0, 0, 7, 8, 0, 0, 7, 8, 0, 0, 0, 0}, forgedLinkNet.Addr().AsSlice()...))
		}},
		{Name: "ra-route", To: "a router advertisement with a route", Privileged: true, send: func(s *shot) {
			// RFC 4191, section 2.3: 48 bits, high preference, half an hour.
			s.advertise(0, append([]byte{24, 2, 48, 8, 0, 0, 7, 8}, ForgedRoute.Addr().AsSlice()[:8]...))
		}},
		{Name: "redirect", To: "an ICMP redirect of the carrier", Privileged: true, send: func(s *shot) {
			if len(s.Quote) < 28 {
				s.fail("redirect", errors.New("nothing to quote"))
				return
			}
			router := FalseRouter.As4()
			for range AttackCount {
				m := icmp(site.Gateway, site.Client, 5, 1, append(router[:], s.Quote...))
				s.attack("redirect", etherIPv4, packet4{from: site.Gateway, to: site.Client, proto: 1}.bytes(m))
			}
			s.receipt.Evidence.Needles = [][]byte{router[:]}
		}},
		{Name: "frag-needed", To: "an ICMP error that the carrier's packets are too long", Privileged: true, send: func(s *shot) {
			if len(s.Quote) < 28 {
				s.fail("frag-needed", errors.New("nothing to quote"))
				return
			}
			for range AttackCount {
				m := icmp(site.Gateway, site.Client, 3, 4, append(binary.BigEndian.AppendUint16([]byte{0, 0}, ForgedMTU), s.Quote...))
				s.attack("fragmentation needed", etherIPv4, packet4{from: site.Gateway, to: site.Client, proto: 1}.bytes(m))
			}
		}},
		{Name: "stranger", To: "the target, from a neighbour that nobody knows", Privileged: true, send: func(s *shot) {
			for i := range AttackCount {
				from := netip.AddrPortFrom(Stranger, uint16(50000+i))
				m := segmentTCP(from, netip.AddrPortFrom(s.Target, AttackedPort), tcpSYN|tcpACK, 1000)
				s.attack("syn-ack", etherIPv4, packet4{from: Stranger, to: s.Target, proto: 6, id: 0x7667}.bytes(m))
			}
			s.flow(wire.Flow{To: Stranger})
		}},
	}
}

func (s *shot) advertise(lifetime uint16, option []byte) {
	all := netip.MustParseAddr("ff02::1")
	mac := site.MAC(site.GatewayMAC)
	// Hop limit 64, preference high, no times.
	body := binary.BigEndian.AppendUint16([]byte{64, 0x08}, lifetime)
	body = append(append(body, make([]byte, 8)...), option...)
	body = append(append(body, 1, 1), mac[:]...)
	m := icmp(site.GatewayLinkLocal, all, 134, 0, body)
	s.attackMAC("advertisement", [6]byte{0x33, 0x33, 0, 0, 0, 1}, etherIPv6, packet6(site.GatewayLinkLocal, all, 58, 255, m))
}
