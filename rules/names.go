package rules

import (
	"fmt"
	"net/netip"
	"slices"
)

// dnsPorts are DNS and DNS over TLS, QUIC and DTLS (RFC 1035, 7858, 9250, 8094).
func dnsPorts(side Side) Port { return Port{side, []PortRange{{53, 53}, {853, 853}}} }

// nameServicePorts are the LAN's own name services: NetBIOS (RFC 1002), SSDP,
// WS-Discovery, mDNS (RFC 6762), LLMNR (RFC 4795). Single ports, no ranges, for
// the reason that byLength gives.
func nameServicePorts() Port {
	return Port{Dst, []PortRange{{137, 137}, {138, 138}, {1900, 1900}, {3702, 3702}, {5353, 5353}, {5355, 5355}}}
}

// namesOut comes before tunnels and LAN: a resolver must not be reached
// because something else is allowed.
func (b *builder) namesOut(c *Chain) {
	both := L4{[]uint8{ProtoTCP, ProtoUDP}}
	for _, t := range b.Tunnels {
		if len(t.Resolvers) == 0 {
			c.add("out-resolver-"+t.Name, "the session named no resolver: any, inside its tunnel", Accept,
				onIface(Outgoing, t.Name), both, dnsPorts(Dst))
			continue
		}
		for _, a := range byFamily(Dst, singles(t.Resolvers)) {
			c.add("out-resolver-"+t.Name+"/ip"+digit(a.ipv6()), "the session's resolvers, inside its tunnel", Accept,
				onIface(Outgoing, t.Name), a, both, dnsPorts(Dst))
		}
	}
	if b.asks() {
		b.askerOut(c)
	}
	c.add("out-dns-tcp", "no other resolver, wherever it is", RejectTCP, L4{[]uint8{ProtoTCP}}, dnsPorts(Dst))
	c.add("out-dns-udp", "no other resolver, wherever it is", RejectOther, L4{[]uint8{ProtoUDP}}, dnsPorts(Dst))
	c.add("out-names", "name services tell the LAN what is looked for", RejectOther,
		append(onNone(Outgoing, b.names...), both, nameServicePorts())...)
}

// asks reports whether somebody may ask others than the tunnels' resolvers.
func (b *builder) asks() bool { return b.Profile == Split && b.Asker != nil && b.dns }

// askerOut lets the program that tells names apart ask resolvers on the wire, but
// none that belongs in the tunnel. What it is refused here ends like any other
// question, two rules on.
func (b *builder) askerOut(c *Chain) {
	question := append(onNone(Outgoing, b.names...), SKUID{*b.Asker}, L4{[]uint8{ProtoTCP, ProtoUDP}}, dnsPorts(Dst))
	b.servers(func(ipv6 bool) {
		c.add("out-dns-server"+digit(ipv6), "a server's address on the wire is for its carrier only", RejectOther,
			append(slices.Clone(question), AddrSet{Dst, ipv6, serverSet(ipv6)})...)
	})
	for _, a := range byLength(Dst, b.inside) {
		c.add("out-dns-inside"+a.length(), "belongs in the tunnel", RejectOther, append(slices.Clone(question), a)...)
	}
	c.add("out-dns-asker", "it asks the session's resolvers of the session's names, and others of the rest", Accept, question...)
}

// openEnd is the policy of a chain that ends by itself in the full profile.
// The terminal rule and the policy say the same: while a table is replaced,
// the policy alone lets packets through.
func (b *builder) openEnd() Verdict {
	if b.Profile == Split {
		return Accept
	}
	return Drop
}

func (c *Chain) add(id, why string, v Verdict, m ...Match) {
	c.Rules = append(c.Rules, Rule{ID: id, Why: why, Matches: m, Verdict: v})
}

// reject adds the pair of rules by which a program of this host learns at
// once that it is refused.
func (c *Chain) reject(id, why string, m ...Match) {
	tcp := append(append([]Match(nil), m...), L4{[]uint8{ProtoTCP}})
	c.add(id+"-tcp", why, RejectTCP, tcp...)
	c.add(id, why, RejectOther, m...)
}

// length names family and prefix length of a list that has one of each.
func (a Addr) length() string { return fmt.Sprintf("%s/%d", digit(a.ipv6()), a.Prefixes[0].Bits()) }

// Uniform reports whether all prefixes have the same length, and which.
func (a Addr) Uniform() (bits int, ok bool) {
	bits = a.Prefixes[0].Bits()
	return bits, !slices.ContainsFunc(a.Prefixes, func(p netip.Prefix) bool { return p.Bits() != bits })
}

func (a Addr) ipv6() bool { return a.Prefixes[0].Addr().Is6() }

func (s Service) port(side Side) Port { return Port{side, []PortRange{{s.First, s.Last}}} }

func (s Service) protos() L4 { return L4{[]uint8{ProtoNumber(s.Proto)}} }

func (s Service) id() string {
	return fmt.Sprintf("%s%s", s.Proto, PortRange{s.First, s.Last})
}

// FenceName names a wire's chain by its index: an interface's name may hold
// what a chain's name may not.
func FenceName(w Wire) string { return fmt.Sprintf("fence_%d", w.Index) }

// arpTargets and ndTargets are the neighbours that a wire can have.
func arpTargets(w Wire) []netip.Prefix { return neighbours(w)[0].Prefixes }

func ndTargets(w Wire) []netip.Prefix { return neighbours(w)[1].Prefixes }

// neighbours are those of IPv4, then those of IPv6: neverPublic has both.
func neighbours(w Wire) []Addr { return byFamily(Dst, slices.Concat(w.OnLink, neverPublic)) }

func ipv4Only(addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			out = append(out, a)
		}
	}
	return out
}

// BlockingRules are the ids of the rules by which packets of this host end
// in the full profile.
func BlockingRules() []string {
	return []string{"out-dns-tcp", "out-dns-udp", "out-names", "out-end-tcp", "out-end", "fwd-end", "fence-end"}
}
