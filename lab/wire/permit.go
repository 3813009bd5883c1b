package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// A Permit is a flow that may be on the wire because somebody said so. The zero
// value permits nothing.
type Permit struct {
	// From are the senders; none stands for [Policy.Hosts].
	From []netip.Prefix
	To   netip.Prefix
	// Proto is what the IP header names as next; 0 is any.
	Proto            uint8
	SrcPort, DstPort uint16 // 0 is any
	// Extended lets packets have IPv4 options and IPv6 extension headers.
	Extended bool
}

func (p Policy) permit(k *packet) int {
	return slices.IndexFunc(p.Permits, func(m Permit) bool {
		if k.extended && !m.Extended || !k.to.IsValid() || !m.To.Contains(k.to) {
			return false
		}
		from := slices.Contains(p.Hosts, k.from)
		if len(m.From) > 0 {
			from = slices.ContainsFunc(m.From, func(f netip.Prefix) bool { return f.Contains(k.from) })
		}
		return from && (m.Proto == 0 || m.Proto == k.proto) &&
			(m.SrcPort == 0 || m.SrcPort == k.srcPort) && (m.DstPort == 0 || m.DstPort == k.dstPort)
	})
}

// FlowText names what a frame is, from whom and to whom, without ports and
// without anything that differs from one try to the next.
func FlowText(f Frame) string {
	p, ok := parse(f.Data)
	if !ok {
		return "malformed frame"
	}
	switch p.etherType {
	case typeIPv4, typeIPv6:
		return fmt.Sprintf("%s %s > %s", protoText(p.proto), p.from, p.to)
	case typeARP:
		if len(p.network) >= 28 {
			op := binary.BigEndian.Uint16(p.network[6:])
			return fmt.Sprintf("arp %d %s > %s", op, dotted(p.network[14:18]), dotted(p.network[24:28]))
		}
	}
	return fmt.Sprintf("ethertype 0x%04x", p.etherType)
}

func protoText(proto uint8) string {
	switch proto {
	case protoICMP:
		return "icmp"
	case 2:
		return "igmp"
	case protoTCP:
		return "tcp"
	case protoUDP:
		return "udp"
	case protoICMPv6:
		return "icmpv6"
	}
	return fmt.Sprintf("protocol %d", proto)
}
