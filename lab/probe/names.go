package probe

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/site"
)

// names asks for names, by every way a resolver may use.
func names() []Probe {
	var all []Probe
	for _, d := range []struct {
		name string
		to   netip.Addr
	}{{"lan", site.Gateway}, {"lan-v6", site.Gateway6}, {"public", site.Public}, {"public-v6", site.PublicTwo6}} {
		dns, dot := netip.AddrPortFrom(d.to, 53), netip.AddrPortFrom(d.to, 853)
		all = append(all,
			Probe{Name: "dns-udp-" + d.name, To: dns.String(), send: func(s *shot) { s.ask(how{}, dns) }},
			Probe{Name: "dns-tcp-" + d.name, To: dns.String(), send: func(s *shot) {
				q := s.question()
				s.tcp(how{}, dns, append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
			}},
			Probe{Name: "dot-tcp-" + d.name, To: dot.String(), send: func(s *shot) { s.tcp(how{}, dot, s.payload()) }},
			Probe{Name: "dot-udp-" + d.name, To: dot.String(), send: func(s *shot) { s.udp(how{}, dot) }},
		)
	}
	// Discovery on the LAN. The interface is chosen, as such programs do;
	// without that a multicast follows the default route into the tunnel.
	for _, d := range []struct{ name, to string }{
		{"mdns", "224.0.0.251:5353"}, {"mdns-v6", "[ff02::fb]:5353"},
		{"llmnr", "224.0.0.252:5355"}, {"llmnr-v6", "[ff02::1:3]:5355"},
		{"ssdp", "239.255.255.250:1900"}, {"ssdp-v6", "[ff02::c]:1900"},
		{"wsd", "239.255.255.250:3702"},
	} {
		to := netip.MustParseAddrPort(d.to)
		all = append(all, Probe{Name: d.name, To: d.to, send: func(s *shot) { s.ask(how{groupIf: s.Dev}, to) }})
	}
	for _, d := range []struct{ name, to string }{
		{"netbios-ns", "192.168.1.255:137"}, {"netbios-dgm", "192.168.1.255:138"}, {"broadcast", "255.255.255.255:1900"},
	} {
		to := netip.MustParseAddrPort(d.to)
		all = append(all, Probe{Name: d.name, To: d.to, send: func(s *shot) { s.ask(how{broadcast: true}, to) }})
	}
	return all
}

func (s *shot) question() []byte { return query(0x7667, s.Nonce+".example") }

func (s *shot) ask(h how, to netip.AddrPort) {
	s.datagram(h, unix.SOCK_DGRAM, to, s.question(), "question")
}
