package rules

import "net/netip"

// Match is one condition of a rule. The set of its kinds is closed: Text,
// Eval and package lower each handle every one.
type Match interface{ match() }

// Side tells the two ends of a packet apart. The zero value is the destination.
type Side uint8

const (
	Dst Side = iota
	Src
)

// Direction tells the two interfaces of a packet apart. The zero value is the outgoing one.
type Direction uint8

const (
	Outgoing Direction = iota
	Incoming
)

type (
	// Iface compares an interface's whole name. Several names are several
	// rules: the netfilter library cannot say that a set of names is in
	// host byte order, and nft lists such a set as empty strings.
	Iface struct {
		Dir  Direction
		Name string
		Not  bool
	}

	// EtherType compares the frame's protocol.
	EtherType struct{ Value uint16 }

	// L4 compares the transport protocol with a list.
	L4 struct{ Protos []uint8 }

	// Addr compares an address with a list of prefixes of one family.
	Addr struct {
		Side     Side
		Prefixes []netip.Prefix
	}

	// AddrSet looks an address up in a named set.
	AddrSet struct {
		Side Side
		IPv6 bool
		Set  string
	}

	// Tuple looks address, protocol and port up in a named set.
	Tuple struct {
		Side Side
		IPv6 bool
		Set  string
	}

	// Port compares a TCP or UDP port with ranges. It needs an L4 match before it.
	Port struct {
		Side   Side
		Ranges []PortRange
	}

	// SKUID compares the uid that created the packet's socket. A packet
	// without a socket does not match.
	SKUID struct{ UID uint32 }

	// FwMark compares the packet's mark under a mask.
	FwMark struct{ Value, Mask uint32 }

	// SocketCgroup compares the cgroup v2 of the packet's socket.
	SocketCgroup struct{ Cgroup Cgroup }

	// CT compares the connection tracking state, and its direction if Reply is set.
	CT struct {
		States []CTState
		Reply  bool
	}

	// FIB asks the routing table.
	FIB struct{ Question Question }

	// ICMP compares the type of an ICMP or ICMPv6 message with code 0 or any code.
	ICMP struct {
		IPv6    bool
		Types   []uint8
		AnyCode bool
	}

	// NDForm is the form that RFC 4861 demands of neighbour discovery: hop
	// limit 255, so that nothing routed is taken for it, no extension header,
	// so that no fragment is (RFC 6980), and, unless AnyLength is set, a
	// length that has no room for freight. A router's
	// advertisement may be long: prefixes, resolvers and domains (RFC 8106).
	// Target, if it is valid, holds the address that a solicitation or an
	// advertisement is about.
	NDForm struct {
		AnyLength bool
		Target    netip.Prefix
	}

	// DHCPForm is a BOOTP message with DHCP's magic cookie (RFC 2131) in an
	// IPv4 packet without options that is no fragment: the kernel takes the
	// bytes of a later one for ports.
	DHCPForm struct{ Op uint8 }

	// ARPForm is ARP for IPv4 over Ethernet, a request or a reply, without
	// freight behind it.
	ARPForm struct{}

	// ARPTarget compares the target's protocol address of an ARP packet.
	ARPTarget struct{ Prefixes []netip.Prefix }

	// ARPSender compares the sender's protocol address of an ARP packet.
	ARPSender struct{ Addrs []netip.Addr }

	// TCPMidstream is a TCP segment that opens no connection: not SYN alone
	// (RFC 9293). It needs an L4 match of TCP before it.
	TCPMidstream struct{}

	// TrailingFragment is a fragment that is not the first: it has no ports.
	TrailingFragment struct{ IPv6 bool }
)

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last uint16 }

// CTState is a connection tracking state.
type CTState uint8

// States as in the kernel's enum nft_ct state bits.
const (
	CTNone CTState = iota
	CTNew
	CTEstablished
	CTRelated
	CTInvalid
)

// Question is a question to the routing table.
type Question uint8

const (
	// SourceUnreachableByIface: no route back to the source by the interface
	// on which the packet came (strict reverse path, RFC 3704 section 2.2).
	SourceUnreachableByIface Question = iota
	// DestinationLocal: the destination is an address of this host.
	DestinationLocal
	// DestinationNotOnIface: the destination is no address of the interface
	// on which the packet came.
	DestinationNotOnIface
	// DestinationOnIface: it is one.
	DestinationOnIface
	// SourceOnOutIface: the source is an address of the outgoing interface.
	SourceOnOutIface
)

func (Iface) match()            {}
func (EtherType) match()        {}
func (L4) match()               {}
func (Addr) match()             {}
func (AddrSet) match()          {}
func (Tuple) match()            {}
func (Port) match()             {}
func (SKUID) match()            {}
func (FwMark) match()           {}
func (SocketCgroup) match()     {}
func (CT) match()               {}
func (FIB) match()              {}
func (ICMP) match()             {}
func (NDForm) match()           {}
func (DHCPForm) match()         {}
func (ARPForm) match()          {}
func (ARPSender) match()        {}
func (ARPTarget) match()        {}
func (TCPMidstream) match()     {}
func (TrailingFragment) match() {}
