package blocked

import (
	"fmt"
	"net/netip"
	"time"
)

// Event is one packet that a rule ended.
type Event struct {
	Time time.Time
	Rule string // name of the rule, from the message's prefix
	Hook string // prerouting, input, forward, output or egress

	In, Out string // interfaces; "" if the packet had none there, or it is gone

	EtherType        uint16     // what the link says the packet is
	Src, Dst         netip.Addr // zero unless the packet is IPv4, IPv6 or ARP
	Proto            uint8      // IP protocol; 0 if not known
	SrcPort, DstPort uint16     // 0 where the protocol has none, or in a later fragment

	// UID and GID are those of the socket's file, nil for a packet without a
	// socket: forwarded, or the kernel's own. On its way in, a packet's socket
	// is the one that would have got it.
	UID, GID *uint32
	// PID and Program are of the process that holds the socket, if that could
	// be found out in time: 0 and "" otherwise. Program is the path of what it
	// runs, or, if that cannot be read, the name that it gave itself; either
	// may hold any byte.
	PID     int
	Program string

	// Lost is the number of events before this one that the kernel had no room for.
	Lost uint64

	echo uint16 // identifier of an ICMP echo, which a ping socket has for a port
	link uint32 // Out's number
}

// IP protocols and link protocols that events have names for.
const (
	protoICMP, protoTCP, protoUDP, protoDCCP  = 1, 6, 17, 33
	protoICMPv6, protoSCTP, protoUDPLite      = 58, 132, 136
	etherIPv4, etherARP, etherVLAN, etherIPv6 = 0x0800, 0x0806, 0x8100, 0x86dd
)

// Protocol is the protocol's name: udp, tcp, icmp, icmpv6, arp, "ip 47" for
// another one over IP, "ether 0x88cc" for another one over Ethernet.
func (e Event) Protocol() string {
	switch {
	case e.EtherType == etherARP:
		return "arp"
	case e.EtherType != etherIPv4 && e.EtherType != etherIPv6:
		return fmt.Sprintf("ether 0x%04x", e.EtherType)
	}
	names := map[uint8]string{protoICMP: "icmp", protoTCP: "tcp", protoUDP: "udp", protoDCCP: "dccp",
		protoICMPv6: "icmpv6", protoSCTP: "sctp", protoUDPLite: "udplite"}
	if name, ok := names[e.Proto]; ok {
		return name
	}
	return fmt.Sprintf("ip %d", e.Proto)
}

// Outward reports whether the packet would have left the host.
func (e Event) Outward() bool { return e.Hook == "output" || e.Hook == "egress" }
