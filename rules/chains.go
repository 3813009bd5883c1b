package rules

import (
	"fmt"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Rules are written in the order of design: loopback, carriers, names,
// tunnels, link upkeep, what the user allowed, the end.

const loopback = "lo"

func onIface(dir Direction, name string) Match { return Iface{Dir: dir, Name: name} }

// onNone holds if the interface is none of these.
func onNone(dir Direction, names ...string) []Match {
	m := make([]Match, 0, len(names))
	for _, n := range names {
		m = append(m, Iface{Dir: dir, Name: n, Not: true})
	}
	return m
}

// output decides on packets that the host's own sockets send.
func (b *builder) output() Chain {
	c := Chain{Name: "output", Hook: Output, Priority: priorityFilter, Policy: b.openEnd()}
	c.add("out-loopback", "the host talks to itself", Accept, onIface(Outgoing, loopback))
	for i, k := range b.carriers {
		for _, ipv6 := range families {
			if len(ofFamily(k.ends, ipv6)) > 0 {
				for _, o := range k.owner.alternatives() {
					c.add("out-"+carrierSet(i, ipv6)+o.suffix, "the owner, to exactly its endpoints", Accept,
						append([]Match{Tuple{Dst, ipv6, carrierSet(i, ipv6)}}, o.matches...)...)
				}
			}
		}
	}
	if b.dns {
		b.namesOut(&c)
	}
	for _, name := range b.names {
		if b.Profile == Split {
			c.add("out-tunnel-"+name, "what the tunnel is for", Accept, onIface(Outgoing, name))
			continue
		}
		c.add("out-tunnel-"+name, "what the tunnel is for", Accept, onIface(Outgoing, name), FIB{SourceOnOutIface})
		c.reject("out-source-"+name, "an address of the LAN inside the tunnel tells who sends", onIface(Outgoing, name))
	}
	if b.Profile == Split {
		b.servers(func(ipv6 bool) {
			c.reject("out-server"+digit(ipv6), "a server's address on the wire is for its carrier only",
				AddrSet{Dst, ipv6, serverSet(ipv6)})
		})
		for _, a := range byLength(Dst, b.inside) {
			c.reject("out-inside"+a.length(), "belongs in the tunnel", a)
		}
		return c
	}
	c.Rules = append(c.Rules, upkeepOut(ndOut(b.wires...), b.wires...)...)
	for _, g := range b.Guests {
		c.add("out-guest-"+g, "the host may reach its guests", Accept, onIface(Outgoing, g))
	}
	b.allowedOut(&c)
	c.reject("out-end", "nothing else leaves by a wire")
	return c
}

// allowedOut lets through what the user allowed, but nothing of it to a
// server's address, be it in the LAN or the client of a service.
func (b *builder) allowedOut(c *Chain) {
	if !b.LAN && len(b.AllowIn)+len(b.listens) == 0 {
		return
	}
	b.servers(func(ipv6 bool) {
		c.reject("out-server"+digit(ipv6), "a server's address on the wire is for its carrier only", AddrSet{Dst, ipv6, serverSet(ipv6)})
	})
	for _, a := range b.lan(Dst) {
		c.add("out-lan"+digit(a.ipv6()), "the user allows the LAN", Accept, a)
	}
	for i, l := range b.listens {
		for _, o := range l.owner.alternatives() {
			c.add(fmt.Sprintf("out-listen%d-udp%d%s", i, l.port, o.suffix), "the tunnel's server, to peers that are anywhere", Accept,
				append([]Match{l.protos(), l.at(Src)}, o.matches...)...)
		}
	}
	for _, s := range b.AllowIn {
		c.add("out-service-"+s.id(), "answers of an allowed service, to who asked first", Accept,
			s.protos(), s.port(Src), CT{States: []CTState{CTEstablished}, Reply: true})
		if s.Proto == endpoint.TCP {
			c.add("out-hold-"+s.id(), "a reset would end sessions that nobody tracked before; they go on when the peer speaks", Drop,
				s.protos(), s.port(Src), TCPMidstream{})
		}
	}
}

// lan is the LAN's ranges as a match for each family, if the LAN is allowed.
func (b *builder) lan(side Side) []Addr {
	if !b.LAN {
		return nil
	}
	return byFamily(side, neverPublic)
}

// input decides on packets to the host. In the split profile it is open:
// the prerouting chain guards the tunnel's addresses.
func (b *builder) input() Chain {
	c := Chain{Name: "input", Hook: Input, Priority: priorityFilter, Policy: b.openEnd()}
	if b.Profile == Split {
		return c
	}
	c.add("in-loopback", "the host talks to itself", Accept, onIface(Incoming, loopback))
	for _, name := range b.names {
		c.add("in-tunnel-"+name, "what the tunnel is for", Accept, onIface(Incoming, name))
	}
	for i, k := range b.carriers {
		for _, ipv6 := range families {
			if len(ofFamily(k.ends, ipv6)) > 0 {
				c.add("in-"+carrierSet(i, ipv6), "answers to a carrier", Accept,
					Tuple{Src, ipv6, carrierSet(i, ipv6)}, CT{States: []CTState{CTEstablished}})
			}
		}
	}
	if len(b.all)+len(b.listens) > 0 {
		related := CT{States: []CTState{CTRelated}}
		// Destination unreachable (with it: fragmentation needed), time exceeded, parameter problem.
		c.add("in-icmp-error", "path MTU and errors of a carrier", Accept, ICMP{Types: []uint8{3, 11, 12}, AnyCode: true}, related)
		// The same and packet too big (RFC 4443).
		c.add("in-icmp6-error", "path MTU and errors of a carrier", Accept, ICMP{IPv6: true, Types: []uint8{1, 2, 3, 4}, AnyCode: true}, related)
	}
	c.Rules = append(c.Rules, upkeepIn()...)
	for _, g := range b.Guests {
		c.add("in-guest-"+g, "the host may be reached by its guests", Accept, onIface(Incoming, g))
	}
	for _, a := range b.lan(Src) {
		c.add("in-lan"+digit(a.ipv6()), "the user allows the LAN", Accept, a)
	}
	for i, l := range b.listens {
		c.add(fmt.Sprintf("in-listen%d-udp%d", i, l.port), "peers of the tunnel's server are anywhere", Accept, l.protos(), l.at(Dst))
	}
	for _, s := range b.AllowIn {
		c.add("in-service-"+s.id(), "a service that the user keeps reachable", Accept,
			s.protos(), s.port(Dst), CT{States: []CTState{CTNew, CTEstablished}})
	}
	c.add("in-end", "silence: an answer would tell that the host is here", Drop)
	return c
}

// forward decides on packets of guests and others that the host routes.
func (b *builder) forward() Chain {
	c := Chain{Name: "forward", Hook: Forward, Priority: priorityFilter, Policy: b.openEnd()}
	if b.Profile == Split {
		for _, a := range byLength(Dst, b.inside) {
			c.add("fwd-inside"+a.length(), "belongs in the tunnel", RejectOther,
				append(onNone(Outgoing, append(b.names, b.Guests...)...), a)...)
		}
		b.servers(func(ipv6 bool) {
			c.add("fwd-server"+digit(ipv6), "a server's address on the wire is for its carrier only", RejectOther,
				append(onNone(Outgoing, b.names...), AddrSet{Dst, ipv6, serverSet(ipv6)})...)
		})
		return c
	}
	for _, g := range b.Guests {
		for _, other := range b.Guests {
			c.add("fwd-guest-"+g+"/"+other, "guests may talk to each other", Accept, onIface(Incoming, g), onIface(Outgoing, other))
		}
		for _, name := range b.names {
			c.add("fwd-out-"+g+"/"+name, "guests may use the tunnel", Accept, onIface(Incoming, g), onIface(Outgoing, name))
			c.add("fwd-in-"+g+"/"+name, "and get its answers", Accept, onIface(Incoming, name), onIface(Outgoing, g),
				CT{States: []CTState{CTEstablished, CTRelated}})
		}
	}
	c.add("fwd-end", "nothing is forwarded to or from a wire", RejectOther)
	return c
}

// prerouting drops what pretends, before connection tracking sees it.
func (b *builder) prerouting() Chain {
	c := Chain{Name: "prerouting", Hook: Prerouting, Priority: priorityRaw, Policy: Accept}
	for _, name := range slices.Concat([]string{loopback}, b.names, b.Guests) {
		c.add("pre-inside-"+name, "loopback, tunnels and guests are not the wire", Accept, onIface(Incoming, name))
	}
	// Carriers' answers, which are most of what comes by a wire, come first.
	b.servers(func(ipv6 bool) {
		for i, k := range b.carriers {
			if len(ofFamily(k.ends, ipv6)) > 0 {
				c.add("pre-"+carrierSet(i, ipv6), "its route may depend on a mark that answers lack", Accept,
					Tuple{Src, ipv6, carrierSet(i, ipv6)}, FIB{DestinationOnIface})
			}
		}
	})
	// The question that an ordinary packet answers first: it costs one lookup.
	c.add("pre-strong-host", "a tunnel's address is reached by the tunnel only (CVE-2019-14899)", Drop,
		FIB{DestinationNotOnIface}, FIB{DestinationLocal})
	c.Rules = append(c.Rules, upkeepIn()...)
	c.add("pre-reverse-path", "strict, for both families: the rp_filter knob has no IPv6 twin", Drop, FIB{SourceUnreachableByIface})
	return c
}

// fence decides on frames that leave by one wire, whoever made them: packet
// sockets, macvlan children and bridged guests pass no inet hook.
func (b *builder) fence(w Wire) Chain {
	c := Chain{Name: FenceName(w), Hook: Egress, Device: w.Name, Priority: priorityFilter, Policy: b.openEnd()}
	b.servers(func(ipv6 bool) {
		c.add("fence-carrier"+digit(ipv6), "the tuple; the output chain has checked the owner", Accept, Tuple{Dst, ipv6, tupleSet(ipv6)})
	})
	if len(b.own) > 0 {
		if own := ipv4Only(b.own); len(own) > 0 {
			c.add("fence-arp-tunnel", "ARP must not tell the tunnel's address", Drop, EtherType{etherARP}, ARPSender{own})
		}
	}
	if b.Profile == Full {
		c.add("fence-arp", "without ARP no carrier; who asks for a public address tells where to", Accept,
			EtherType{etherARP}, ARPForm{}, ARPTarget{arpTargets(w)})
		c.add("fence-eapol", "the LAN may demand authentication", Accept, EtherType{etherEAPOL})
	}
	b.servers(func(ipv6 bool) {
		c.add("fence-fragment"+digit(ipv6), "a carrier's later fragments have no port", Accept,
			AddrSet{Dst, ipv6, serverSet(ipv6)}, TrailingFragment{ipv6})
	})
	if b.Profile == Split {
		b.servers(func(ipv6 bool) {
			c.add("fence-server"+digit(ipv6), "a server's address on the wire is for its carrier only", Drop, AddrSet{Dst, ipv6, serverSet(ipv6)})
		})
		for _, a := range byLength(Dst, b.inside) {
			c.add("fence-inside"+a.length(), "belongs in the tunnel", Drop, a)
		}
		if b.asks() {
			c.add("fence-dns-asker", "it asks the session's resolvers of the session's names, and others of the rest", Accept,
				SKUID{*b.Asker}, L4{[]uint8{ProtoTCP, ProtoUDP}}, dnsPorts(Dst))
		}
		if b.dns {
			c.add("fence-dns", "names are asked inside the tunnel", Drop, L4{[]uint8{ProtoTCP, ProtoUDP}}, dnsPorts(Dst))
		}
		return c
	}
	c.Rules = append(c.Rules, upkeepOut(ndFence(w), w)...)
	b.fenceAllowed(&c)
	c.add("fence-end", "nothing else leaves by a wire", Drop)
	return c
}

// fenceAllowed repeats what the user allowed, as far as an egress hook can
// tell: it has no connection tracking.
func (b *builder) fenceAllowed(c *Chain) {
	if !b.LAN && len(b.AllowIn)+len(b.listens) == 0 {
		return
	}
	b.servers(func(ipv6 bool) {
		c.add("fence-server"+digit(ipv6), "a server's address on the wire is for its carrier only", Drop, AddrSet{Dst, ipv6, serverSet(ipv6)})
	})
	c.add("fence-dns", "names are asked inside the tunnel", Drop, L4{[]uint8{ProtoTCP, ProtoUDP}}, dnsPorts(Dst))
	c.add("fence-names", "name services tell the LAN what is looked for", Drop, L4{[]uint8{ProtoTCP, ProtoUDP}}, nameServicePorts())
	for _, a := range b.lan(Dst) {
		c.add("fence-lan"+digit(a.ipv6()), "the user allows the LAN", Accept, a)
	}
	for i, l := range b.listens {
		c.add(fmt.Sprintf("fence-listen%d-udp%d", i, l.port), "the server's port; the output chain has checked the owner", Accept, l.protos(), l.at(Src))
	}
	for _, s := range b.AllowIn {
		c.add("fence-service-"+s.id(), "answers of an allowed service", Accept, s.protos(), s.port(Src))
	}
}
