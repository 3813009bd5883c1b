package host

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A Try is one probe by one link.
type Try struct {
	ID, Variant string
	Title       string
	Rule        string
	Link        string
	Privileged  bool
	// Innocent is a probe that leaves by no link: the negative control.
	Innocent bool
	Order    probe.Order
	// Mentions are addresses that no frame of anybody else has.
	Mentions []netip.Addr `json:",omitempty"`
}

// Name tells tries apart.
func (t Try) Name() string { return t.ID + "/" + t.Variant }

// spec is a probe before it has a link and a target.
type spec struct {
	id, variant string
	probe       string
	title       string
	rule        string
	to          target
}

type target int

const (
	public  target = iota // an address of documentation, of either family
	public4               // of IPv4 only
	group                 // a multicast group of documentation
	router                // the link's router
	server                // the VPN server
	udpEnd                // the VPN server's own endpoint, if its carrier is UDP
	tcpEnd
	fixed // of the probe itself
)

var specs = []spec{
	{"bind-to-device", "udp", "safe-device-udp", "a datagram of a socket bound to the link", "out-end", public},
	{"bind-to-device", "tcp", "safe-device-tcp", "a connection of a socket bound to the link", "out-end-tcp", public},
	{"bind-to-device", "icmp", "safe-device-icmp", "an echo request of a socket bound to the link", "out-end", public},
	{"pktinfo-unicast-if", "unicast-if", "safe-unicast-if", "a datagram with IP_UNICAST_IF", "out-end", public},
	{"pktinfo-unicast-if", "pktinfo", "safe-pktinfo", "a datagram with IP_PKTINFO", "out-end", public},
	{"pktinfo-unicast-if", "multicast-if", "safe-multicast-if", "a datagram with IP_MULTICAST_IF", "out-end", group},
	{"source-bind", "udp", "safe-source-udp", "a datagram from the link's own address", "out-end", public},
	{"v4-mapped", "udp", "safe-device-mapped", "IPv4 of an IPv6 socket bound to the link", "out-end", public4},
	{"multihome-apps", "stun", "safe-device-stun", "binding requests as a browser sends them", "out-end", public},
	{"port-fail", "udp", "safe-server-udp", "a datagram to another port of the VPN server's address", "out-end", server},
	{"port-fail", "device-udp", "safe-server-device-udp", "the same of a socket bound to the link", "out-end", server},
	{"endpoint-marker", "udp", "safe-endpoint-device-udp", "an ordinary user's datagram to the VPN server's own port", "out-end", udpEnd},
	{"endpoint-marker", "tcp", "safe-endpoint-device-tcp", "an ordinary user's connection to the VPN server's own port", "out-end-tcp", tcpEnd},
	{"endpoint-mark-spoof", "udp", "safe-mark", "a datagram with the carrier's firewall mark, elsewhere", "out-end", public4},
	{"dns-lan-resolver", "udp", "safe-dns-udp", "a question to the link's router", "out-dns-udp", router},
	{"dns-tcp53", "tcp", "safe-dns-tcp", "a question to the link's router by TCP", "out-dns-tcp", router},
	{"dns-encrypted-lan", "dot", "safe-dot-tcp", "DNS over TLS to the link's router", "out-dns-tcp", router},
	{"dns-encrypted-lan", "doq", "safe-doq-udp", "DNS over QUIC to the link's router", "out-dns-udp", router},
	{"dns-name-services", "mdns", "mdns", "a question by multicast DNS", "out-names", fixed},
	{"dns-name-services", "llmnr", "llmnr", "a question by LLMNR", "out-names", fixed},
	{"dns-name-services", "ssdp", "ssdp", "a search by SSDP", "out-names", fixed},
	{"ntp-cleartext", "udp", "safe-ntp", "a datagram to the time port of the link's router", "out-end", router},
	{"upnp-natpmp", "nat-pmp", "safe-nat-pmp", "a datagram to the port mapper of the link's router", "out-end", router},
	{"nm-connectivity-check", "http", "safe-device-http", "root's connection bound to the link, as connectivity checks make it", "out-end-tcp", public},
	{"source-routing", "record-route", "safe-record-route", "a datagram with an IP option", "out-end", public4},
	{"transition-tunnels", "sixinfour", "safe-device-sixinfour", "IPv6 in IPv4", "out-end", public4},
	{"transition-tunnels", "ipip", "safe-device-ipip", "IPv4 in IPv4", "out-end", public4},
	{"transition-tunnels", "gre", "safe-device-gre", "GRE", "out-end", public4},
	{"raw-fragments", "udp", "safe-fragments", "a datagram in pieces by a raw socket", "out-end", public},
	{"af-packet", "frame", "safe-packet", "a frame of a packet socket", "fence-end", public},
	{"af-packet", "bypass", "safe-packet-bypass", "a frame past the queueing discipline, which the host itself does not see", "fence-end", public},
	{"arp-destination-leak", "request", "safe-packet-arp", "who has an address of documentation", "fence-end", public4},
	{"l2-chatter", "odd-type", "safe-packet-odd-type", "a frame of an experimental EtherType", "fence-end", public4},
}

// inClear are ids of names, which a split session closes as well if it has
// resolvers.
var inClear = []string{"dns-lan-resolver", "dns-tcp53", "dns-encrypted-lan", "dns-name-services"}

// serversOwn are ids of the server's address, which is for its carrier only.
var serversOwn = []string{"port-fail", "endpoint-marker"}

// A Plan is what is tried, and why the rest is not.
type Plan struct {
	Tries []Try
	// User is who ordinary tries run as.
	User uint32
	// Skipped are cases without a run.
	Skipped []evidence.Case
}

// Make plans. nonce makes a different one for each try.
func Make(f Facts, nonce func() string) Plan {
	p := Plan{User: user(f.Guard)}
	p.Tries = append(p.Tries, Try{ID: "harmless", Variant: "loopback", Title: "a datagram to the probe's own socket", Innocent: true,
		Order: probe.Order{Name: "safe-loopback", Nonce: nonce()}})
	documentation := 1 // the last byte of the next address
	for _, l := range f.Links {
		for _, s := range specs {
			for _, six := range []bool{false, true} {
				t, why := s.try(f, l, six, documentation)
				if why == "" {
					t.Order.Nonce = nonce()
					p.Tries = append(p.Tries, t)
					documentation = documentation%200 + 1
				} else if !six {
					p.Skipped = append(p.Skipped, evidence.Case{ID: s.id, Variant: t.Variant, Title: s.title, NotApplicable: why})
				}
			}
		}
	}
	return p
}

// try is the probe by a link; why says what makes it pointless.
func (s spec) try(f Facts, l Link, six bool, n int) (t Try, why string) {
	p, err := probe.Find(s.probe)
	if err != nil {
		panic(err) // the table above is tested
	}
	t = Try{ID: s.id, Variant: s.variant, Title: s.title, Rule: s.rule, Link: l.Name, Privileged: p.Privileged,
		Order: probe.Order{Name: s.probe, Dev: l.Name, Mark: f.Guard.Mark}}
	if six {
		t.Variant += "-v6"
	}
	if len(f.Links) > 1 {
		t.Variant += "-" + l.Name
	}
	if _, ok := l.address(six); !ok {
		return t, "the link has no address of the family"
	}
	if f.Guard.split() {
		names := slices.Contains(inClear, s.id)
		switch {
		case names && !f.Guard.namesShut():
			return t, "the session is split and names no resolver: names go in clear by the user's wish"
		case !names && !slices.Contains(serversOwn, s.id):
			return t, "the session is split: what is not the tunnel's goes in clear by the user's wish"
		}
	}
	doc := netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
	multi := netip.AddrFrom4([4]byte{233, 252, 0, byte(n)})
	if six {
		doc = netip.MustParseAddr(fmt.Sprintf("2001:db8:7667:%x::1", n))
		multi = netip.MustParseAddr(fmt.Sprintf("ff05::db8:0:%x", n))
	}
	own := func(a netip.Addr) {
		t.Order.Target = a
		t.Mentions = []netip.Addr{a}
	}
	switch s.to {
	case public, public4:
		if six && s.to == public4 {
			return t, "it is about IPv4"
		}
		own(doc)
		t.Order.TargetMAC = l.routerMAC()
	case group:
		own(multi)
	case router:
		at, ok := l.router(six)
		if !ok {
			return t, "the link has no router"
		}
		if f.Guard.LAN && !slices.Contains(inClear, s.id) {
			return t, "the LAN is allowed by name"
		}
		t.Order.Target = at
	case server, udpEnd, tcpEnd:
		want := map[target]uint8{udpEnd: wire.UDP, tcpEnd: wire.TCP}[s.to]
		i := slices.IndexFunc(f.Guard.Carriers, func(c Carrier) bool {
			return c.To.Addr().Is6() == six && c.To.Port() != 53 && (want == 0 || c.Proto == want)
		})
		if i < 0 {
			return t, "no such carrier is recorded"
		}
		t.Order.Carrier = f.Guard.Carriers[i].To
	case fixed:
		if six {
			return t, "the probe is about IPv4"
		}
	}
	if l.MAC == "" && p.Privileged && (s.rule == "fence-end") {
		return t, "the link has no Ethernet frames"
	}
	return t, ""
}

// routerMAC is where a frame goes that is to look real; empty: not known.
func (l Link) routerMAC() string {
	for _, g := range l.Gateways {
		if m := l.mac(g); m != "" {
			return m
		}
	}
	return ""
}

const root = 0

// user is nobody, unless a carrier's owner is: whom the guard lets out proves nothing.
func user(g Guard) uint32 {
	u := uint32(65534)
	for slices.Contains(g.UIDs, u) {
		u--
	}
	return u
}
