package rules_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

// Small worlds, so that random packets and random policies meet.
var (
	worldAddrs4 = addrs("203.0.113.10", "203.0.113.11", "192.168.1.1", "192.168.1.50", "10.8.0.1", "10.8.0.2", "8.8.8.8", "192.168.1.101", "255.255.255.255")
	worldAddrs6 = addrs("2001:db8:5::10", "2001:db8:5::11", "fe80::1", "fd00:8::1", "fd00:8::2", "2001:db8:80::80", "ff02::1:2")
	worldPorts  = []uint16{0, 22, 53, 67, 68, 443, 546, 547, 853, 1194, 5353, 40000}
	worldProtos = []uint8{rules.ProtoICMP, rules.ProtoTCP, rules.ProtoUDP, rules.ProtoICMPv6, 47}
	worldIfaces = []string{"lo", "eth0", "eth1", "tun0", "tun1", "docker0"}
	worldUIDs   = []uint32{0, 1000, 65534}
)

type world struct{ *rand.Rand }

func newWorld(t *testing.T) world {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return world{rand.New(rand.NewPCG(seed, 0))}
}

func one[T any](w world, list []T) T { return list[w.IntN(len(list))] }

func (w world) yes() bool { return w.IntN(2) == 0 }

func (w world) addr(ipv6 bool) netip.Addr {
	if ipv6 {
		return one(w, worldAddrs6)
	}
	return one(w, worldAddrs4)
}

func (w world) endpoint() endpoint.Endpoint {
	for {
		e := endpoint.Endpoint{Addr: netip.AddrPortFrom(w.addr(w.yes()), one(w, worldPorts)), Proto: endpoint.UDP}
		if w.yes() {
			e.Proto = endpoint.TCP
		}
		if e.IsValid() {
			return e
		}
	}
}

func (w world) owner() rules.Owner {
	var o rules.Owner
	for o.Mask == 0 && o.Cgroup.Path == "" && len(o.UIDs) == 0 {
		if w.yes() {
			o.UIDs = []uint32{one(w, worldUIDs)}
		}
		if w.yes() {
			o.Mark, o.Mask = 1, 3
		}
		if w.yes() {
			o.Cgroup = rules.Cgroup{Path: "a/b", Level: 2, ID: 7}
		}
	}
	return o
}

func (w world) policy() rules.Policy {
	p := rules.Policy{Profile: rules.Profile(w.IntN(2)), LAN: w.yes()}
	for i := range w.IntN(3) {
		tun := rules.Tunnel{Name: fmt.Sprintf("tun%d", i)}
		for range w.IntN(3) {
			a := w.addr(w.yes())
			tun.Addresses = append(tun.Addresses, w.addr(w.yes()))
			tun.Resolvers = append(tun.Resolvers, w.addr(w.yes()))
			tun.Prefixes = append(tun.Prefixes, netip.PrefixFrom(a, w.IntN(a.BitLen()+1)))
		}
		p.Tunnels = append(p.Tunnels, tun)
	}
	for range w.IntN(4) {
		c := rules.Carrier{Owner: w.owner()}
		for range w.IntN(4) {
			c.Endpoints = append(c.Endpoints, w.endpoint())
		}
		if w.yes() {
			c.Listen = one(w, worldPorts)
		}
		p.Carriers = append(p.Carriers, c)
	}
	for i := range w.IntN(3) {
		p.Wires = append(p.Wires, rules.Wire{Name: fmt.Sprintf("eth%d", i), Index: 2 + i})
	}
	for range w.IntN(3) {
		first := one(w, []uint16{22, 53, 443, 1194})
		p.AllowIn = append(p.AllowIn, rules.Service{Proto: one(w, []endpoint.Proto{endpoint.TCP, endpoint.UDP}), First: first, Last: first + uint16(w.IntN(2))*30})
	}
	if w.yes() {
		p.Guests = append(p.Guests, "docker0")
	}
	if w.yes() {
		uid := one(w, worldUIDs)
		p.Asker = &uid
	}
	return p
}

// packet is random; some are aimed at what the policy speaks of.
func (w world) packet(at rules.Policy) rules.Packet {
	ipv6 := w.yes()
	p := rules.Packet{
		Path: rules.Path(w.IntN(4)), Src: w.addr(ipv6), Dst: w.addr(ipv6), Proto: one(w, worldProtos),
		SrcPort: one(w, worldPorts), DstPort: one(w, worldPorts), Type: uint8(w.IntN(150)), Code: uint8(w.IntN(2)),
		HopLimit: uint8(254 + w.IntN(2)), Length: uint16(70 + w.IntN(5)), Trailing: w.IntN(8) == 0, DHCPOp: uint8(w.IntN(3)), Midstream: w.yes(),
		Socket: w.yes(), UID: one(w, worldUIDs), Cgroup: uint64(6 + w.IntN(2)), Mark: uint32(w.IntN(5)),
		State: rules.CTState(w.IntN(5)), Reply: w.yes(),
		SrcReachableByIn: w.yes(), DstLocal: w.yes(), DstOnIn: w.yes(), SrcOnOut: w.yes(),
	}
	if p.Path != rules.ToHost {
		p.Out = one(w, worldIfaces)
	}
	if p.Path == rules.ToHost || p.Path == rules.Forwarded {
		p.In = one(w, worldIfaces)
	}
	if p.Path == rules.RawFrame && w.IntN(4) == 0 {
		return rules.Packet{
			Path: p.Path, Out: p.Out, Ether: one(w, []uint16{0x0806, 0x888e, 0x88b5}),
			ARPForm: w.yes(), ARPFrom: one(w, worldAddrs4), ARPTo: one(w, worldAddrs4),
		}
	}
	if w.IntN(3) == 0 {
		w.aim(&p, at)
	}
	return p
}

// aim makes a packet of a kind that few random ones are.
func (w world) aim(p *rules.Packet, at rules.Policy) {
	switch w.IntN(5) {
	case 0:
		p.Proto, p.Type, p.Code, p.HopLimit, p.Length = rules.ProtoICMPv6, uint8(133+w.IntN(5)), 0, 255, 32
	case 1:
		p.Proto, p.SrcPort, p.DstPort, p.DHCPOp = rules.ProtoUDP, 68, 67, 1
	default:
		if len(at.Carriers) == 0 {
			return
		}
		c := one(w, at.Carriers)
		if len(c.Endpoints) == 0 {
			return
		}
		e := one(w, c.Endpoints)
		p.Dst, p.DstPort, p.Proto = e.Addr.Addr(), e.Addr.Port(), rules.ProtoNumber(e.Proto)
		p.Src, p.Trailing, p.Socket = w.addr(p.Dst.Is6()), false, true
		p.Mark, p.Cgroup = c.Owner.Mark, c.Owner.Cgroup.ID
		if len(c.Owner.UIDs) > 0 {
			p.UID = c.Owner.UIDs[0]
		}
	}
}
