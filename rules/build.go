package rules

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Hook priorities. Prerouting runs before connection tracking (-200), so that
// a spoofed packet makes no entry; the others run at filter priority.
const (
	priorityRaw    = -300
	priorityFilter = 0
)

// Build makes the ruleset of a policy. The policy must be valid.
// The same policy gives the same ruleset, whatever the order of its parts.
func Build(p Policy) (Ruleset, error) {
	if err := p.Validate(); err != nil {
		return Ruleset{}, err
	}
	b := newBuilder(p)
	inet := Table{
		Family: Inet,
		Name:   TableName,
		Sets:   b.inetSets(),
		Chains: []Chain{b.prerouting(), b.input(), b.forward(), b.output()},
	}
	rs := Ruleset{Tables: []Table{inet}}
	if len(p.Wires) > 0 {
		fence := Table{Family: Netdev, Name: TableName, Sets: b.endpointSets()}
		for _, w := range b.wires {
			fence.Chains = append(fence.Chains, b.fence(w))
		}
		rs.Tables = append(rs.Tables, fence)
	}
	if p.Log {
		rs.logBlocked()
	}
	return rs, nil
}

// builder holds the policy in canonical order, and what several chains need of it.
type builder struct {
	Policy
	names    []string // tunnels
	wires    []Wire
	carriers []carrier
	all      []endpoint.Endpoint // of every carrier
	own      []netip.Addr        // the host's addresses in the tunnels
	inside   []netip.Prefix
	listens  []listen
	dns      bool // whether names may only be asked inside the tunnels
}

// carrier is one owner's endpoints; its sets are named by its place in the list.
type carrier struct {
	owner Owner
	ends  []endpoint.Endpoint
}

// listen is one server's port and who may send from it.
type listen struct {
	owner Owner
	port  uint16
}

func (l listen) protos() L4        { return L4{[]uint8{ProtoUDP}} }
func (l listen) at(side Side) Port { return Port{side, []PortRange{{l.port, l.port}}} }

func newBuilder(p Policy) *builder {
	b := &builder{Policy: p, names: p.tunnelNames(), dns: p.Profile == Full}
	b.Tunnels = slices.SortedFunc(slices.Values(p.Tunnels), func(x, y Tunnel) int { return cmp.Compare(x.Name, y.Name) })
	b.Guests = slices.Sorted(slices.Values(p.Guests))
	b.AllowIn = slices.Compact(slices.SortedFunc(slices.Values(p.AllowIn), func(x, y Service) int {
		return cmp.Or(cmp.Compare(x.Proto, y.Proto), cmp.Compare(x.First, y.First), cmp.Compare(x.Last, y.Last))
	}))
	b.wires = slices.SortedFunc(slices.Values(p.Wires), func(x, y Wire) int { return cmp.Compare(x.Index, y.Index) })
	for _, c := range p.Carriers {
		b.addCarrier(c)
	}
	slices.SortFunc(b.listens, func(x, y listen) int {
		return cmp.Or(cmp.Compare(x.port, y.port), cmp.Compare(ownerKey(x.owner), ownerKey(y.owner)))
	})
	b.listens = slices.CompactFunc(b.listens, func(x, y listen) bool { return x.port == y.port && ownerKey(x.owner) == ownerKey(y.owner) })
	for i := range b.carriers {
		b.carriers[i].ends = sortedEndpoints(b.carriers[i].ends)
		b.all = append(b.all, b.carriers[i].ends...)
	}
	slices.SortFunc(b.carriers, func(x, y carrier) int { return cmp.Compare(ownerKey(x.owner), ownerKey(y.owner)) })
	b.all = sortedEndpoints(b.all)
	for _, t := range b.Tunnels {
		b.own = append(b.own, t.Addresses...)
		b.inside = append(b.inside, t.Prefixes...)
		b.dns = b.dns || len(t.Resolvers) > 0
	}
	slices.SortFunc(b.own, netip.Addr.Compare)
	b.own = slices.Compact(b.own)
	return b
}

// addCarrier joins carriers of the same owner, so that each owner has one pair of sets.
func (b *builder) addCarrier(c Carrier) {
	c.Owner.UIDs = slices.Compact(slices.Sorted(slices.Values(c.Owner.UIDs)))
	key := ownerKey(c.Owner)
	if c.Listen != 0 {
		b.listens = append(b.listens, listen{c.Owner, c.Listen})
	}
	for i := range b.carriers {
		if ownerKey(b.carriers[i].owner) == key {
			b.carriers[i].ends = append(b.carriers[i].ends, c.Endpoints...)
			return
		}
	}
	b.carriers = append(b.carriers, carrier{c.Owner, slices.Clone(c.Endpoints)})
}

func ownerKey(o Owner) string {
	return fmt.Sprintf("%v %08x/%08x %d %d %s", o.UIDs, o.Mark, o.Mask, o.Cgroup.ID, o.Cgroup.Level, o.Cgroup.Path)
}

func sortedEndpoints(ends []endpoint.Endpoint) []endpoint.Endpoint {
	sorted := slices.SortedFunc(slices.Values(ends), func(x, y endpoint.Endpoint) int {
		return cmp.Or(x.Addr.Compare(y.Addr), cmp.Compare(x.Proto, y.Proto))
	})
	return slices.Compact(sorted)
}

// families are both, in the order in which rules are written.
var families = []bool{false, true}

func ofFamily(ends []endpoint.Endpoint, ipv6 bool) []endpoint.Endpoint {
	return slices.DeleteFunc(slices.Clone(ends), func(e endpoint.Endpoint) bool { return e.Addr.Addr().Is6() != ipv6 })
}

func digit(ipv6 bool) string {
	if ipv6 {
		return "6"
	}
	return "4"
}

func carrierSet(i int, ipv6 bool) string { return fmt.Sprintf("carrier%d_ip%s", i, digit(ipv6)) }
func tupleSet(ipv6 bool) string          { return "carriers_ip" + digit(ipv6) }
func serverSet(ipv6 bool) string         { return "servers_ip" + digit(ipv6) }

// inetSets: one set of tuples for each owner, and one of the servers' addresses.
func (b *builder) inetSets() []Set {
	var sets []Set
	for i, c := range b.carriers {
		for _, ipv6 := range families {
			if ends := ofFamily(c.ends, ipv6); len(ends) > 0 {
				sets = append(sets, Set{Name: carrierSet(i, ipv6), IPv6: ipv6, Endpoints: ends})
			}
		}
	}
	return append(sets, b.serverSets()...)
}

// endpointSets: the fence asks for the tuple only, so it needs no set for each owner.
func (b *builder) endpointSets() []Set {
	var sets []Set
	for _, ipv6 := range families {
		if ends := ofFamily(b.all, ipv6); len(ends) > 0 {
			sets = append(sets, Set{Name: tupleSet(ipv6), IPv6: ipv6, Endpoints: ends})
		}
	}
	return append(sets, b.serverSets()...)
}

func (b *builder) serverSets() []Set {
	var sets []Set
	for _, ipv6 := range families {
		var addrs []netip.Addr
		for _, e := range ofFamily(b.all, ipv6) {
			addrs = append(addrs, e.Addr.Addr())
		}
		if addrs = slices.Compact(addrs); len(addrs) > 0 {
			sets = append(sets, Set{Name: serverSet(ipv6), IPv6: ipv6, Addrs: addrs})
		}
	}
	return sets
}

// servers calls f for each family that has endpoints.
func (b *builder) servers(f func(ipv6 bool)) {
	for _, ipv6 := range families {
		if len(ofFamily(b.all, ipv6)) > 0 {
			f(ipv6)
		}
	}
}

// alternative is one way to be the owner. Each uid has a rule of its own.
type alternative struct {
	suffix  string
	matches []Match
}

func (o Owner) alternatives() []alternative {
	var common []Match
	if o.Mask != 0 {
		common = append(common, FwMark{o.Mark, o.Mask})
	}
	if o.Cgroup.Path != "" {
		common = append(common, SocketCgroup{o.Cgroup})
	}
	if len(o.UIDs) == 0 {
		return []alternative{{matches: common}}
	}
	var out []alternative
	for _, uid := range o.UIDs {
		out = append(out, alternative{fmt.Sprintf("-uid%d", uid), append([]Match{SKUID{uid}}, common...)})
	}
	return out
}

// byFamily splits prefixes into the two matches that they need, without
// overlaps: an interval set refuses them.
func byFamily(side Side, prefixes []netip.Prefix) []Addr {
	var out []Addr
	for _, ipv6 := range families {
		var list []netip.Prefix
		for _, p := range prefixes {
			if p.Addr().Is6() == ipv6 {
				list = append(list, p.Masked())
			}
		}
		if list = disjoint(list); len(list) > 0 {
			out = append(out, Addr{Side: side, Prefixes: list})
		}
	}
	return out
}

// byLength splits prefixes into matches of one length each. Rules that deny
// are made of these: lists of one length are looked up in hash sets, which the
// kernel swaps together with the rules. A new interval set, as a mixed list
// needs it, is empty for the moment between the rules' turn and its own: under
// flood some 300 packets of each thousand replacements missed one (Linux 6.18).
func byLength(side Side, prefixes []netip.Prefix) []Addr {
	var out []Addr
	for _, a := range byFamily(side, prefixes) {
		slices.SortStableFunc(a.Prefixes, func(x, y netip.Prefix) int { return cmp.Compare(x.Bits(), y.Bits()) })
		for i := 0; i < len(a.Prefixes); {
			end := i + 1
			for end < len(a.Prefixes) && a.Prefixes[end].Bits() == a.Prefixes[i].Bits() {
				end++
			}
			out = append(out, Addr{Side: side, Prefixes: a.Prefixes[i:end:end]})
			i = end
		}
	}
	return out
}

// disjoint sorts prefixes of one family and leaves out those inside others.
// Two prefixes either do not touch or one holds the other.
func disjoint(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, func(x, y netip.Prefix) int {
		return cmp.Or(x.Addr().Compare(y.Addr()), cmp.Compare(x.Bits(), y.Bits()))
	})
	var out []netip.Prefix
	for _, p := range list {
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}

func singles(addrs []netip.Addr) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(addrs))
	for _, a := range addrs {
		out = append(out, netip.PrefixFrom(a, a.BitLen()))
	}
	return out
}
