package probe

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/site"
)

// frames sends whole frames, which pass no inet hook at all, and with
// PACKET_QDISC_BYPASS not even a capture on the host itself.
func frames() []Probe {
	var all []Probe
	for _, bypass := range []int{0, 1} {
		suffix := []string{"", "-bypass"}[bypass]
		add := func(name, to string, build func(s *shot, src [6]byte) ([6]byte, uint16, []byte)) {
			all = append(all, Probe{Name: "packet-" + name + suffix, To: to, Privileged: true, send: func(s *shot) {
				src, err := linkAddress(s.Dev)
				if err != nil {
					s.fail("link address", err)
					return
				}
				dst, kind, payload := build(s, src)
				if s.broken == nil {
					s.frame("frame"+suffix, bypass, ethernet(dst, src, kind, payload))
				}
			}})
		}
		for _, to := range []netip.AddrPort{netip.AddrPortFrom(site.Public, EchoPort), netip.AddrPortFrom(site.Public6, EchoPort)} {
			name := "ipv4"
			if to.Addr().Is6() {
				name = "ipv6"
			}
			add(name, to.String(), func(s *shot, src [6]byte) (dst [6]byte, kind uint16, packet []byte) {
				s.fromDev(to.Addr(), func(from netip.Addr) {
					datagram := segmentUDP(netip.AddrPortFrom(from, 40004), to, s.payload())
					kind, packet = inPacket(from, to.Addr(), 17, datagram)
				})
				return site.MAC(site.GatewayMAC), kind, packet
			})
		}
		add("arp", "who has 8.8.8.8", func(s *shot, src [6]byte) (dst [6]byte, kind uint16, packet []byte) {
			s.fromDev(site.Public, func(from netip.Addr) {
				packet = slices.Concat(requestARP(src, from, site.Public), []byte(s.Nonce))
			})
			return broadcast, etherARP, packet
		})
		// Exact but for the padding, where an ARP frame can carry data unseen.
		add("arp-padding", "who has 192.168.1.1", func(s *shot, src [6]byte) (dst [6]byte, kind uint16, packet []byte) {
			s.fromDev(site.Gateway, func(from netip.Addr) {
				packet = slices.Concat(requestARP(src, from, site.Gateway), []byte(s.Nonce))
			})
			return broadcast, etherARP, packet
		})
		add("odd-type", "EtherType 0x88b5", func(s *shot, _ [6]byte) ([6]byte, uint16, []byte) {
			return broadcast, 0x88b5, s.payload()
		})
		add("lldp", "the LLDP group", func(s *shot, _ [6]byte) ([6]byte, uint16, []byte) {
			name := s.payload() // a system name (IEEE 802.1AB, type 5), then the end
			return [6]byte{1, 0x80, 0xc2, 0, 0, 0x0e}, 0x88cc, append(append([]byte{10, byte(len(name))}, name...), 0, 0)
		})
		add("fragment-v6", "a later piece of a datagram to [2001:db8:80::80]", func(s *shot, _ [6]byte) (dst [6]byte, kind uint16, packet []byte) {
			s.fromDev(site.Public6, func(from netip.Addr) {
				packet = packet6(from, site.Public6, 44, 64, append([]byte{17, 0, 0, 64, 'v', 'g', 'f', '7'}, s.payload()...))
			})
			return site.MAC(site.GatewayMAC), etherIPv6, packet
		})
		add("vlan", "8.8.8.8:7 in VLAN 7", func(s *shot, _ [6]byte) (dst [6]byte, kind uint16, packet []byte) {
			s.fromDev(site.Public, func(from netip.Addr) {
				to := netip.AddrPortFrom(site.Public, EchoPort)
				_, inner := inPacket(from, to.Addr(), 17, segmentUDP(netip.AddrPortFrom(from, 40005), to, s.payload()))
				packet = append([]byte{0, 7, etherIPv4 >> 8, etherIPv4 & 0xff}, inner...)
			})
			return site.MAC(site.GatewayMAC), unix.ETH_P_8021Q, packet
		})
	}
	return all
}

var broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// frame sends one frame on the link.
func (s *shot) frame(what string, bypass int, frame []byte) {
	index, err := ifindex(s.Dev)
	if err != nil {
		s.fail(what, err)
		return
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.tried(what, fmt.Errorf("socket: %w", err))
		return
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, bypass); err != nil {
		s.fail(what, err)
		return
	}
	to := &unix.SockaddrLinklayer{Ifindex: index, Halen: 6, Protocol: networkOrder16(uint16(frame[12])<<8 | uint16(frame[13]))}
	copy(to.Addr[:], frame[:6])
	s.tried(what, unix.Sendto(fd, frame, 0, to))
}

func linkAddress(dev string) ([6]byte, error) {
	i, err := net.InterfaceByName(dev)
	if err != nil {
		return [6]byte{}, fmt.Errorf("find %q: %w", dev, err)
	}
	if len(i.HardwareAddr) != 6 {
		return [6]byte{}, fmt.Errorf("%q has no Ethernet address", dev)
	}
	return [6]byte(i.HardwareAddr), nil
}
