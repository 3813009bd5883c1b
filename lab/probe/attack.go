package probe

import (
	"fmt"
	"net/netip"

	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// AttackCount is how often each attack sends, so that "one for each" can be
// told from background.
const AttackCount = 3

// AttackedPort is where nobody listens, unless a test has somebody there.
const AttackedPort = 45678

// Attacks returns the probes that a node on the LAN sends towards the client,
// at an address that is not on that LAN. They need Order.Target, TargetMAC and
// Dev. Evidence matches answers in clear; whether a spoofed one drew a tunnel
// packet is for the caller to count.
func Attacks() []Probe {
	var all []Probe
	for _, from := range []struct {
		name   string
		v4, v6 netip.Addr
	}{
		{"lan", site.Gateway, site.Gateway6},
		{"spoofed", site.Public, site.Public6}, // an internet address that the tunnel would lead to
	} {
		source := func(s *shot) netip.Addr {
			if s.Target.Is4() {
				return from.v4
			}
			return from.v6
		}
		add := func(name string, proto uint8, build func(s *shot, src netip.Addr, i int) []byte) {
			all = append(all, Probe{Name: name + "-" + from.name, To: "the tunnel address", Privileged: true, send: func(s *shot) {
				src := source(s)
				for i := range AttackCount {
					proto := proto
					if proto == 1 && s.Target.Is6() {
						proto = 58
					}
					kind, packet := inPacket(src, s.Target, proto, build(s, src, i))
					s.attack(name, kind, packet)
				}
				s.flow(wire.Flow{To: src}) // whatever the protocol of the answer
			}})
		}
		// Each kind has ports of its own, so that their answers can be told apart.
		tcp := func(port int, flags byte) func(*shot, netip.Addr, int) []byte {
			return func(s *shot, src netip.Addr, i int) []byte {
				s.flow(wire.Flow{To: src, Proto: 6, SrcPort: AttackedPort, DstPort: uint16(port + i)})
				return segmentTCP(netip.AddrPortFrom(src, uint16(port+i)), netip.AddrPortFrom(s.Target, AttackedPort), flags, 1000)
			}
		}
		add("attack-syn", 6, tcp(50000, tcpSYN))
		add("attack-synack", 6, tcp(50100, tcpSYN|tcpACK))
		add("attack-udp", 17, func(s *shot, src netip.Addr, i int) []byte {
			return segmentUDP(netip.AddrPortFrom(src, uint16(50000+i)), netip.AddrPortFrom(s.Target, AttackedPort), s.payload())
		})
		add("attack-echo", 1, func(s *shot, src netip.Addr, i int) []byte {
			kind := byte(8)
			if src.Is6() {
				kind = 128
			}
			return icmp(src, s.Target, kind, 0, append([]byte{0, 7, 0, byte(i)}, s.payload()...))
		})
		add("attack-timestamp", 1, func(s *shot, src netip.Addr, i int) []byte {
			if src.Is6() {
				s.fail("icmp timestamp", fmt.Errorf("IPv6 has none"))
			}
			return icmp(src, s.Target, 13, 0, append([]byte{0, 9, 0, byte(i)}, make([]byte, 12)...))
		})
	}
	return append(all,
		Probe{Name: "attack-arp", To: "who has the tunnel address", Privileged: true, send: func(s *shot) {
			for range AttackCount {
				s.attack("who-has", etherARP, requestARP(site.MAC(site.GatewayMAC), site.Gateway, s.Target))
			}
			s.receipt.Evidence.Needles = append(s.receipt.Evidence.Needles, s.Target.AsSlice())
		}},
		Probe{Name: "attack-ns", To: "neighbour solicitation for the tunnel address", Privileged: true, send: func(s *shot) {
			for range AttackCount {
				mac := site.MAC(site.GatewayMAC)
				body := append(make([]byte, 4), s.Target.AsSlice()...)
				body = append(append(body, 1, 1), mac[:]...)
				m := icmp(site.GatewayLinkLocal, s.Target, 135, 0, body)
				s.attack("solicitation", etherIPv6, packet6(site.GatewayLinkLocal, s.Target, 58, 255, m))
			}
			s.receipt.Evidence.Needles = append(s.receipt.Evidence.Needles, s.Target.AsSlice())
		}},
	)
}

func (s *shot) attack(what string, kind uint16, packet []byte) {
	s.attackMAC(what, site.MAC(s.TargetMAC), kind, packet)
}

func (s *shot) attackMAC(what string, to [6]byte, kind uint16, packet []byte) {
	src, err := linkAddress(s.Dev)
	if err != nil {
		s.fail(what, err)
		return
	}
	s.frame(what, 0, ethernet(to, src, kind, packet))
}
