package wire

import (
	"fmt"
	"net/netip"
	"slices"
)

// A Class is the reason why a frame may be on the wire. The zero value is that
// there is none.
type Class int

// The classes, in the order of the checks.
const (
	Leak Class = iota
	CarrierClass
	ARP
	EAPOL
	DHCP
	DHCPv6
	ND
	Allowed
)

func (c Class) String() string {
	if c < Leak || c > Allowed {
		return fmt.Sprintf("class %d", int(c))
	}
	return [...]string{"leak", "carrier", "ARP", "EAPOL", "DHCP", "DHCPv6", "ND", "allowed"}[c]
}

// IP protocols of carriers.
const (
	TCP uint8 = protoTCP
	UDP uint8 = protoUDP
)

// A Carrier is the outer flow of a tunnel.
type Carrier struct {
	Remote netip.AddrPort
	Proto  uint8
	// LocalPort zero stands for any. The local address is one of Policy.Hosts.
	LocalPort uint16
}

// A Policy explains frames. The zero value explains none.
type Policy struct {
	// MACs that may send at all.
	MACs [][6]byte
	// Hosts are the addresses that the senders own on this wire, link-local
	// ones included. A tunnel's address does not belong here.
	Hosts []netip.Addr
	// Neighbours are those whom the senders may look for by ARP and neighbour
	// discovery: the gateway and declared peers, link-local ones included.
	Neighbours []netip.Addr
	Carriers   []Carrier
	// Forbidden frames are leaks whatever else they look like: a nonce that a
	// probe sent to the carrier's own endpoint, above all.
	Forbidden Evidence
	// Also explains what is left, by rules of the test's own. May be nil.
	Also func(Frame) bool
}

// A Finding is a frame that nothing explained.
type Finding struct {
	Frame Frame
	Index int    // in the frames that were judged
	Text  string // decoded in one line
}

// A Verdict says what the frames were.
type Verdict struct {
	Counts map[Class]int
	Leaks  []Finding
}

// Judge explains each frame or calls it a leak.
//
// The later pieces of a fragmented carrier datagram have no ports: they are
// carriers if the first piece was, and came before.
func (p Policy) Judge(frames []Frame) Verdict {
	v := Verdict{Counts: map[Class]int{}}
	j := judge{policy: p, pieces: map[piece]bool{}}
	for i, f := range frames {
		class := j.explain(f)
		v.Counts[class]++
		if class == Leak {
			v.Leaks = append(v.Leaks, Finding{Frame: f, Index: i, Text: Describe(f)})
		}
	}
	return v
}

func (v Verdict) String() string {
	text := ""
	for c := Leak; c <= Allowed; c++ {
		if n := v.Counts[c]; n > 0 {
			text += fmt.Sprintf("%s %d, ", c, n)
		}
	}
	if text == "" {
		return "no frames"
	}
	text = text[:len(text)-2]
	const most = 20
	for i, l := range v.Leaks {
		if i == most {
			text += fmt.Sprintf("\n  and %d more", len(v.Leaks)-most)
			break
		}
		text += fmt.Sprintf("\n  #%d %s", l.Index, l.Text)
	}
	return text
}

type judge struct {
	policy Policy
	pieces map[piece]bool // first pieces of carrier datagrams
}

type piece struct {
	from, to netip.Addr
	proto    uint8
	id       uint32
}

func (j *judge) explain(f Frame) Class {
	if j.policy.Forbidden.matches(f) {
		return Leak
	}
	p, ok := parse(f.Data)
	if ok && f.Len == len(f.Data) && slices.Contains(j.policy.MACs, p.src) {
		switch {
		case j.carrier(&p):
			return CarrierClass
		case j.policy.arp(&p):
			return ARP
		case eapol(&p):
			return EAPOL
		case j.policy.dhcp(&p):
			return DHCP
		case j.policy.dhcpv6(&p):
			return DHCPv6
		case j.policy.nd(&p):
			return ND
		}
	}
	if j.policy.Also != nil && j.policy.Also(f) {
		return Allowed
	}
	return Leak
}

func (j *judge) carrier(p *packet) bool {
	if p.extended || !slices.Contains(j.policy.Hosts, p.from) {
		return false
	}
	key := piece{p.from, p.to, p.proto, p.id}
	if p.offset > 0 {
		return j.pieces[key]
	}
	for _, c := range j.policy.Carriers {
		if p.proto == c.Proto && p.to == c.Remote.Addr() && p.dstPort == c.Remote.Port() &&
			(c.LocalPort == 0 || p.srcPort == c.LocalPort) {
			if p.fragment {
				j.pieces[key] = true
			}
			return true
		}
	}
	return false
}
