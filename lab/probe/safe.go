package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/site"
)

// Safe are the probes that a machine in use can bear: one packet or connection
// each, to [Order.Target], which is an address of documentation (RFC 5737, RFC
// 3849, RFC 6676), a neighbour or the VPN server. Their names begin with "safe-".
func Safe() []Probe {
	var all []Probe
	add := func(name string, privileged bool, send func(s *shot)) {
		all = append(all, Probe{Name: "safe-" + name, To: "the target", Privileged: privileged, send: send})
	}
	at := func(s *shot, port uint16) netip.AddrPort { return netip.AddrPortFrom(s.Target, port) }
	bound := func(s *shot) how { return how{device: s.Dev} }

	add("udp", false, func(s *shot) { s.udp(how{}, at(s, EchoPort)) })
	add("device-udp", false, func(s *shot) { s.udp(bound(s), at(s, EchoPort)) })
	add("device-tcp", false, func(s *shot) { s.tcp(bound(s), at(s, 443), s.payload()) })
	add("device-icmp", false, func(s *shot) { s.ping(bound(s), s.Target) })
	add("unicast-if", false, func(s *shot) { s.udp(how{unicastIf: s.Dev}, at(s, EchoPort)) })
	add("pktinfo", false, func(s *shot) { s.udp(how{pktinfo: s.Dev}, at(s, EchoPort)) })
	add("multicast-if", false, func(s *shot) { s.udp(how{groupIf: s.Dev}, at(s, EchoPort)) })
	add("source-udp", false, func(s *shot) {
		s.fromDev(s.Target, func(from netip.Addr) { s.udp(how{source: from}, at(s, EchoPort)) })
	})
	add("device-mapped", false, func(s *shot) { s.udp(how{device: s.Dev, mapped: true}, at(s, EchoPort)) })
	add("device-stun", false, func(s *shot) { s.stun(at(s, 3478)) })

	add("loopback", false, func(s *shot) { s.loopback() })

	add("server-udp", false, func(s *shot) { s.udp(how{}, netip.AddrPortFrom(s.Carrier.Addr(), 56789)) })
	add("server-device-udp", false, func(s *shot) { s.udp(bound(s), netip.AddrPortFrom(s.Carrier.Addr(), 56789)) })
	add("endpoint-device-udp", false, func(s *shot) { s.udp(bound(s), s.Carrier) })
	add("endpoint-device-tcp", false, func(s *shot) { s.tcp(bound(s), s.Carrier, s.payload()) })

	add("dns-udp", false, func(s *shot) { s.ask(how{}, at(s, DNSPort)) })
	add("dns-tcp", false, func(s *shot) {
		q := s.question()
		s.tcp(how{}, at(s, DNSPort), append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
	})
	add("dot-tcp", false, func(s *shot) { s.tcp(how{}, at(s, 853), s.payload()) })
	add("doq-udp", false, func(s *shot) { s.udp(how{}, at(s, 853)) })
	add("ntp", false, func(s *shot) { s.udp(how{}, at(s, 123)) })
	add("nat-pmp", false, func(s *shot) { s.udp(how{}, at(s, 5351)) })

	add("mark", true, func(s *shot) {
		mark := s.Mark
		if mark == 0 {
			mark = 0xca6c // wg-quick's
		}
		s.udp(how{device: s.Dev, mark: mark}, at(s, EchoPort))
	})
	add("device-http", true, func(s *shot) { s.tcp(bound(s), at(s, 80), s.payload()) })
	add("record-route", true, func(s *shot) {
		s.udp(how{device: s.Dev, options: append([]byte{7, 11, 4}, make([]byte, 9)...)}, at(s, EchoPort))
	})
	for name, proto := range map[string]int{"ipip": 4, "sixinfour": 41, "gre": 47} {
		add("device-"+name, true, func(s *shot) {
			s.datagram(how{protocol: proto, device: s.Dev}, unix.SOCK_RAW, at(s, 0), s.payload(), name)
		})
	}
	add("fragments", true, func(s *shot) {
		if s.Target.Is4() {
			s.fragments4(at(s, DNSPort))
			return
		}
		// Connection tracking takes the pieces in, and nobody is told what became of them.
		before := requests(s.Dev)
		s.fragments6(at(s, DNSPort))
		if after := requests(s.Dev); after > before {
			s.receipt.Witness = fmt.Sprintf("/proc/net/dev_snmp6/%s: Ip6OutRequests went from %d to %d", s.Dev, before, after)
		}
	})
	for bypass, name := range []string{"packet", "packet-bypass"} {
		add(name, true, func(s *shot) {
			s.ether(func(src [6]byte) {
				s.fromDev(s.Target, func(from netip.Addr) {
					kind, packet := inPacket(from, s.Target, 17, segmentUDP(netip.AddrPortFrom(from, 40004), at(s, EchoPort), s.payload()))
					s.frame("frame", bypass, ethernet(s.targetMAC(), src, kind, packet))
				})
			})
		})
	}
	add("packet-arp", true, func(s *shot) {
		s.ether(func(src [6]byte) {
			s.fromDev(s.Target, func(from netip.Addr) {

				// As the kernel makes it, without padding.
				s.frame("arp request", 0, slices.Concat(broadcast[:], src[:], []byte{etherARP >> 8, etherARP & 0xff}, requestARP(src, from, s.Target)))

			})
		})
	})
	add("packet-odd-type", true, func(s *shot) {
		s.ether(func(src [6]byte) { s.frame("frame", 0, ethernet(s.targetMAC(), src, 0x88b5, s.payload())) })
	})
	return all
}

// loopback sends to a socket of its own, which is harmless whatever is in force.
func (s *shot) loopback() {
	at := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	in, err := how{}.open(netip.IPv4Unspecified(), unix.SOCK_DGRAM)
	if err == nil {
		defer unix.Close(in)
		if err = unix.Bind(in, at); err == nil {
			at.Port, err = portOf(in)
		}
	}
	if err != nil {
		s.fail("listen on loopback", err)
		return
	}
	s.datagram(how{}, unix.SOCK_DGRAM, netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port)), s.payload(), "udp")
	b := make([]byte, 1500)
	if n, _, err := unix.Recvfrom(in, b, unix.MSG_DONTWAIT); err == nil {
		s.receipt.Witness = fmt.Sprintf("the probe's own socket on loopback got %d bytes", n)
	}
}

func portOf(fd int) (int, error) {
	p, err := localPort(fd)
	return int(p), err
}

// requests counts the IPv6 packets that programs gave the kernel for a link.
func requests(dev string) int { return counter("/proc/net/dev_snmp6/"+dev, "Ip6OutRequests") }

// ether runs send with the link's own address.
func (s *shot) ether(send func(src [6]byte)) {
	src, err := linkAddress(s.Dev)
	if err != nil {
		s.fail("link address", err)
		return
	}
	send(src)
}

// targetMAC is where a frame goes: to everybody if nobody is named.
func (s *shot) targetMAC() [6]byte {
	if s.TargetMAC == "" {
		return broadcast
	}
	return site.MAC(s.TargetMAC)
}
