package probe

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// raw sends packets whose headers the program writes, through the IP stack.
func raw() []Probe {
	udp4 := netip.AddrPortFrom(site.Public, EchoPort)
	udp6 := netip.AddrPortFrom(site.Public6, EchoPort)
	all := []Probe{
		{Name: "raw-ip", To: udp4.String(), Privileged: true, send: func(s *shot) {
			s.fromDev(udp4.Addr(), func(from netip.Addr) {
				datagram := segmentUDP(netip.AddrPortFrom(from, 40001), udp4, s.payload())
				s.rawSend("raw ip", from, udp4.Addr(), 0, packet4{from: from, to: udp4.Addr(), proto: 17}.bytes(datagram))
			})
		}},
		{Name: "raw-ip-v6", To: udp6.String(), Privileged: true, send: func(s *shot) {
			s.fromDev(udp6.Addr(), func(from netip.Addr) {
				datagram := segmentUDP(netip.AddrPortFrom(from, 40001), udp6, s.payload())
				s.rawSend("raw ip", from, udp6.Addr(), 0, packet6(from, udp6.Addr(), 17, 64, datagram))
			})
		}},
		{Name: "fragments", To: "8.8.8.8:53", Privileged: true, send: func(s *shot) { s.fragments4(netip.AddrPortFrom(site.Public, DNSPort)) }},
		{Name: "fragments-v6", To: "[2001:db8:80::80]:53", Privileged: true, send: func(s *shot) { s.fragments6(netip.AddrPortFrom(site.Public6, DNSPort)) }},
		{Name: "routing-header-v6", To: udp6.String(), Privileged: true, send: func(s *shot) {
			s.fromDev(udp6.Addr(), func(from netip.Addr) {
				datagram := segmentUDP(netip.AddrPortFrom(from, 40002), udp6, s.payload())
				// Type 0 with one segment left, by the gateway (RFC 2460, section 4.4).
				header := append([]byte{17, 2, 0, 1, 0, 0, 0, 0}, udp6.Addr().AsSlice()...)
				packet := packet6(from, site.Gateway6, 43, 64, append(header, datagram...))
				s.rawSend("routing header", from, site.Gateway6, 0, packet)
			})
		}},
		{Name: "destination-options-v6", To: udp6.String(), Privileged: true, send: func(s *shot) {
			s.fromDev(udp6.Addr(), func(from netip.Addr) {
				datagram := segmentUDP(netip.AddrPortFrom(from, 40003), udp6, s.payload())
				header := []byte{17, 0, 1, 4, 0, 0, 0, 0} // PadN over the rest
				s.rawSend("destination options", from, udp6.Addr(), 0, packet6(from, udp6.Addr(), 60, 64, append(header, datagram...)))
			})
		}},
	}
	for _, p := range encapsulations {
		for _, to := range []netip.Addr{site.Public, site.Public6} {
			name := "proto-" + p.name
			if to.Is6() {
				name += "-v6"
			}
			all = append(all, Probe{Name: name, To: fmt.Sprintf("%s protocol %d", to, p.proto), Privileged: true, send: func(s *shot) {
				s.datagram(how{protocol: p.proto}, unix.SOCK_RAW, netip.AddrPortFrom(to, 0), s.payload(), p.name)
			}})
		}
	}
	return all
}

// encapsulations carry other packets, or are other transports.
var encapsulations = []struct {
	name  string
	proto int
}{{"ipip", 4}, {"sixinfour", 41}, {"gre", 47}, {"esp", 50}, {"l2tp", 115}, {"sctp", 132}}

// fromDev runs send with the link's own address of to's family.
func (s *shot) fromDev(to netip.Addr, send func(from netip.Addr)) {
	from, err := address(s.Dev, to.Is6())
	if err != nil {
		s.fail("source address", err)
		return
	}
	send(from)
}

// rawSend sends packets that have their IP header by one socket bound to the
// link, so that they show the firewall, not the routes.
func (s *shot) rawSend(what string, from, to netip.Addr, option int, packets ...[]byte) {
	fd, err := how{protocol: unix.IPPROTO_RAW, device: s.Dev}.open(to, unix.SOCK_RAW)
	if err != nil {
		s.tried(what, err)
		return
	}
	defer unix.Close(fd)
	if option != 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, option, 1); err != nil {
			s.fail(what, err)
			return
		}
	}
	for i, packet := range packets {
		// One refused piece must not keep the others back: they are the hole.
		s.tried(fmt.Sprintf("%s %d to %s", what, i, to), unix.Sendto(fd, packet, 0, sockaddr(netip.AddrPortFrom(to, 0))))
	}
}

// ipNodefrag is IP_NODEFRAG: leave this socket's fragments alone, so that
// connection tracking does not put them together.
const ipNodefrag = 22

const pieceSize = 64

// pieces is a DNS question in a UDP datagram long enough for several pieces.
// The nonce is in each of them.
func (s *shot) pieces(from netip.Addr, to netip.AddrPort) []byte {
	filler := bytes.Repeat([]byte(s.Nonce), 3*pieceSize/len(s.Nonce)+1)
	return segmentUDP(netip.AddrPortFrom(from, 40053), to, slices.Concat(s.question(), filler))
}

func (s *shot) fragments4(to netip.AddrPort) {
	s.fromDev(to.Addr(), func(from netip.Addr) {
		var packets [][]byte
		whole := s.pieces(from, to)
		for offset := 0; offset < len(whole); offset += pieceSize {
			end := min(offset+pieceSize, len(whole))
			packets = append(packets, packet4{
				from: from, to: to.Addr(), proto: 17, id: 0x5647, more: end < len(whole), offset: offset,
			}.bytes(whole[offset:end]))
		}
		s.flow(wire.Flow{To: to.Addr(), Proto: wire.UDP, DstPort: to.Port()})
		s.rawSend("piece", from, to.Addr(), ipNodefrag, packets...)
	})
}

func (s *shot) fragments6(to netip.AddrPort) {
	s.fromDev(to.Addr(), func(from netip.Addr) {
		var packets [][]byte
		whole := s.pieces(from, to)
		for offset := 0; offset < len(whole); offset += pieceSize {
			end := min(offset+pieceSize, len(whole))
			place := byte(offset) // in units of 8 bytes, above three flag bits
			if end < len(whole) {
				place |= 1
			}
			header := []byte{17, 0, byte(offset >> 8), place, 'v', 'g', 'f', '6'}
			packets = append(packets, packet6(from, to.Addr(), 44, 64, append(header, whole[offset:end]...)))
		}
		s.flow(wire.Flow{To: to.Addr(), Proto: wire.UDP, DstPort: to.Port()})
		s.rawSend("piece", from, to.Addr(), 0, packets...)
	})
}
