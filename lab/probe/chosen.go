package probe

import (
	"net/netip"

	"github.com/vpnguard/vpnguard/lab/site"
)

// chosen sends by sockets that choose the link or the source themselves.
// Ordinary users may do all of it but IP options.
func chosen() []Probe {
	v4, v6 := netip.AddrPortFrom(site.Public, EchoPort), netip.AddrPortFrom(site.Public6, EchoPort)
	server := netip.AddrPortFrom(site.Server, 56789)
	group4, group6 := netip.MustParseAddrPort("239.1.2.3:7"), netip.MustParseAddrPort("[ff05::1234]:7")
	probe := func(name string, to netip.AddrPort, send func(s *shot, to netip.AddrPort)) Probe {
		return Probe{Name: name, To: to.String(), send: func(s *shot) { send(s, to) }}
	}
	deviceUDP := func(s *shot, to netip.AddrPort) { s.udp(how{device: s.Dev}, to) }
	deviceTCP := func(s *shot, to netip.AddrPort) { s.tcp(how{device: s.Dev}, to, s.payload()) }
	deviceICMP := func(s *shot, to netip.AddrPort) { s.ping(how{device: s.Dev}, to.Addr()) }
	unicast := func(s *shot, to netip.AddrPort) { s.udp(how{unicastIf: s.Dev}, to) }
	pktinfo := func(s *shot, to netip.AddrPort) { s.udp(how{pktinfo: s.Dev}, to) }
	multicast := func(s *shot, to netip.AddrPort) { s.udp(how{groupIf: s.Dev}, to) }
	from := func(s *shot, to netip.AddrPort, send func(how)) {
		source, err := address(s.Dev, to.Addr().Is6())
		if err != nil {
			s.fail("source address", err)
			return
		}
		send(how{source: source})
	}
	sourceUDP := func(s *shot, to netip.AddrPort) { from(s, to, func(h how) { s.udp(h, to) }) }
	sourceTCP := func(s *shot, to netip.AddrPort) { from(s, to, func(h how) { s.tcp(h, to, s.payload()) }) }
	return []Probe{
		probe("bind-device-udp", v4, deviceUDP), probe("bind-device-udp-v6", v6, deviceUDP),
		probe("bind-device-udp-server", server, deviceUDP),
		probe("bind-device-tcp", v4, deviceTCP), probe("bind-device-tcp-v6", v6, deviceTCP),
		probe("bind-device-icmp", v4, deviceICMP), probe("bind-device-icmp-v6", v6, deviceICMP),
		probe("unicast-if", v4, unicast), probe("unicast-if-v6", v6, unicast),
		probe("pktinfo", v4, pktinfo), probe("pktinfo-v6", v6, pktinfo),
		probe("multicast-if", group4, multicast), probe("multicast-if-v6", group6, multicast),
		probe("source-udp", v4, sourceUDP), probe("source-udp-v6", v6, sourceUDP),
		probe("source-tcp", v4, sourceTCP), probe("source-tcp-v6", v6, sourceTCP),
		{Name: "record-route", To: v4.String(), Privileged: true, send: func(s *shot) {
			// Room for two addresses; padded to 12 bytes.
			s.udp(how{options: append([]byte{7, 11, 4}, make([]byte, 9)...)}, v4)
		}},
		{Name: "source-route", To: v4.String(), Privileged: true, send: func(s *shot) {
			// Loose source route by the gateway, then 8.8.8.8; padded to 12 bytes.
			gw, dst := site.Gateway.As4(), site.Public.As4()
			lsrr := append([]byte{131, 11, 4}, gw[:]...)
			s.udp(how{options: append(append(lsrr, dst[:]...), 0)}, v4)
		}},
	}
}
