package rules_test

import (
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/rules"
)

// Addresses of the host, with a port where a socket has one.
const (
	lan4 = "192.168.1.101:40000"
	lan6 = "[2001:db8:1::101]:40000"
	tun4 = "10.8.0.2:40000"
	tun6 = "[fd00:8::2]:40000"
)

// ip is a packet of a program of uid 1000, by dev, with the address of the
// wire unless in the tunnel.
func ip(dev string, proto uint8, src, dst string) rules.Packet {
	p := rules.Packet{Out: dev, Proto: proto, HopLimit: 64, Length: 100, Socket: true, UID: 1000}
	p.Src, p.SrcPort = end(src)
	p.Dst, p.DstPort = end(dst)
	return p
}

func end(s string) (netip.Addr, uint16) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a, 0
	}
	ap := netip.MustParseAddrPort(s)
	return ap.Addr(), ap.Port()
}

func udp(dev, src, dst string) rules.Packet { return ip(dev, rules.ProtoUDP, src, dst) }
func tcp(dev, src, dst string) rules.Packet { return ip(dev, rules.ProtoTCP, src, dst) }

func icmp(dev, src, dst string, kind, code uint8) rules.Packet {
	p := ip(dev, rules.ProtoICMP, src, dst)
	p.Type, p.Code = kind, code
	return p
}

// nd is a message of neighbour discovery as the kernel makes it: no socket of
// a program. It is about a neighbour.
func nd(dev, src, dst string, kind uint8) rules.Packet {
	p := ip(dev, rules.ProtoICMPv6, src, dst)
	p.Type, p.HopLimit, p.Length, p.Socket = kind, 255, 32, false
	p.NDTarget = netip.MustParseAddr("fe80::1")
	return p
}

// about says whom a message of neighbour discovery is about.
func about(target string, p rules.Packet) rules.Packet {
	p.NDTarget = netip.MustParseAddr(target)
	return p
}

func arp(dev, from, to string) rules.Packet {
	return rules.Packet{
		Path: rules.RawFrame, Out: dev, Ether: 0x0806, ARPForm: true,
		ARPFrom: netip.MustParseAddr(from), ARPTo: netip.MustParseAddr(to),
	}
}

func with(p rules.Packet, change func(*rules.Packet)) rules.Packet {
	change(&p)
	return p
}

func by(uid uint32, p rules.Packet) rules.Packet { p.UID = uid; return p }

func inTunnel(p rules.Packet) rules.Packet { p.SrcOnOut = true; return p }

func raw(p rules.Packet) rules.Packet { p.Path = rules.RawFrame; return p }

func orphan(p rules.Packet) rules.Packet { p.Socket, p.UID = false, 0; return p }

func trailing(p rules.Packet) rules.Packet {
	p.Trailing, p.SrcPort, p.DstPort = true, 0, 0
	return p
}

func state(s rules.CTState, p rules.Packet) rules.Packet { p.State = s; return p }

func reply(p rules.Packet) rules.Packet { p.State, p.Reply = rules.CTEstablished, true; return p }

// marked is the second carrier's owner.
func marked(p rules.Packet) rules.Packet { p.Mark, p.Cgroup = 0x51, 77; return p }

// arrives turns a packet into one that came by dev for an address of dev,
// from where the route back leads.
func arrives(p rules.Packet) rules.Packet {
	p.Path, p.In, p.Out = rules.ToHost, p.Out, ""
	p.Socket, p.UID = false, 0
	p.SrcReachableByIn, p.DstLocal, p.DstOnIn = true, true, true
	return p
}

// routed turns a packet into one that came by dev and is forwarded.
func routed(in string, p rules.Packet) rules.Packet {
	p = orphan(p)
	p.Path, p.In, p.SrcReachableByIn = rules.Forwarded, in, true
	return p
}

// ways are the chains that each path leads through.
var ways = map[rules.Path][]string{
	rules.FromHost:  {"output", "fence"},
	rules.ToHost:    {"prerouting", "input"},
	rules.Forwarded: {"prerouting", "forward", "fence"},
	rules.RawFrame:  {"fence"},
}

// trace is the decision of each chain that sees the packet, until one stops
// it. Each is asked alone: Eval tells the last one's only.
func trace(rs rules.Ruleset, p rules.Packet) []rules.Decision {
	var out []rules.Decision
	for _, name := range ways[p.Path] {
		d := alone(rs, func(c rules.Chain) bool {
			return c.Name == name || (name == "fence" && c.Hook == rules.Egress)
		}).Eval(p) // the fence is that of the packet's wire
		if d.Chain == "" {
			continue // no fence on this wire
		}
		out = append(out, d)
		if !d.Verdict.Passes() {
			break
		}
	}
	return out
}

// alone is the ruleset without all other chains.
func alone(rs rules.Ruleset, keep func(rules.Chain) bool) rules.Ruleset {
	var out rules.Ruleset
	for _, t := range rs.Tables {
		t.Chains = slices.DeleteFunc(slices.Clone(t.Chains), func(c rules.Chain) bool { return !keep(c) })
		out.Tables = append(out.Tables, t)
	}
	return out
}

func midstream(p rules.Packet) rules.Packet {
	p.Midstream = true
	return p
}
