package probe

import (
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// plain sends as ordinary programs do.
func plain() []Probe {
	var all []Probe
	for _, d := range []struct {
		name string
		to   netip.Addr
		port uint16
	}{
		{"public", site.Public, 7},
		{"public2", site.PublicTwo, 443},
		{"public-v6", site.Public6, 7},
		{"server", site.Server, 56789}, // Port Fail: the VPN server's own address, another port
		{"server-v6", site.Server6, 56789},
		{"server2", site.ServerTwo, 56789},
		{"lan", site.Gateway, 5351}, // NAT-PMP
		{"lan-v6", site.Gateway6, 5351},
	} {
		at := netip.AddrPortFrom(d.to, d.port)
		all = append(all,
			Probe{Name: "udp-" + d.name, To: at.String(), send: func(s *shot) { s.udp(how{}, at) }},
			Probe{Name: "tcp-" + d.name, To: at.String(), send: func(s *shot) { s.tcp(how{}, at, s.payload()) }},
			Probe{Name: "icmp-" + d.name, To: d.to.String(), send: func(s *shot) { s.ping(how{}, d.to) }},
			Probe{Name: "icmp-raw-" + d.name, To: d.to.String(), Privileged: true, send: func(s *shot) { s.pingRaw(how{}, d.to) }},
		)
	}
	return slices.Concat(all, []Probe{
		{Name: "udp-carrier-port", To: "the carrier's own endpoint", send: func(s *shot) { s.udp(how{}, s.Carrier) }},
		{Name: "tcp-carrier-port", To: "the carrier's own endpoint", send: func(s *shot) { s.tcp(how{}, s.Carrier, s.payload()) }},
		{Name: "udp-v4-mapped", To: "[::ffff:8.8.8.8]:7", send: func(s *shot) {
			s.udp(how{mapped: true}, netip.AddrPortFrom(site.Public, EchoPort))
		}},
		{Name: "mptcp-subflow", To: "8.8.8.8:80 through the tunnel, then from the LAN address", NeedsTunnel: true, send: mptcp},
	})
}

func mptcp(s *shot) {
	to := netip.AddrPortFrom(site.Public, 80)
	s.subflows(to)
	// The kernel sends the subflow's SYN; its port is its own choice.
	s.flow(wire.Flow{To: to.Addr(), Proto: wire.TCP, DstPort: to.Port()})
}
