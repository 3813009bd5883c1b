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
	// Permits are flows of the senders that are allowed by name.
	Permits []Permit
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
	for i, e := range p.Explain(frames) {
		v.Counts[e.Class]++
		if e.Class == Leak {
			v.Leaks = append(v.Leaks, Finding{Frame: frames[i], Index: i, Text: Describe(frames[i])})
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

// An Explanation is why a frame may be on the wire.
type Explanation struct {
	Class Class
	// Entry is which carrier or permit took it, by its place in the policy; -1
	// for every other class, and for what [Policy.Also] allowed.
	Entry int
}

// Explain says of each frame why it may be on the wire; see [Policy.Judge].
func (p Policy) Explain(frames []Frame) []Explanation {
	all := make([]Explanation, len(frames))
	j := judge{policy: p, pieces: map[piece]Explanation{}}
	for i, f := range frames {
		all[i] = j.explain(f)
	}
	return all
}

type judge struct {
	policy Policy
	pieces map[piece]Explanation // of first pieces, for the later ones
}

type piece struct {
	from, to netip.Addr
	proto    uint8
	id       uint32
}

func (j *judge) explain(f Frame) Explanation {
	if j.policy.Forbidden.matches(f) {
		return Explanation{Leak, -1}
	}
	p, ok := parse(f.Data)
	if ok && f.Len == len(f.Data) && slices.Contains(j.policy.MACs, p.src) {
		if e, ok := j.flow(&p); ok {
			return e
		}
		switch {
		case j.policy.arp(&p):
			return Explanation{ARP, -1}
		case eapol(&p):
			return Explanation{EAPOL, -1}
		case j.policy.dhcp(&p):
			return Explanation{DHCP, -1}
		case j.policy.dhcpv6(&p):
			return Explanation{DHCPv6, -1}
		case j.policy.nd(&p):
			return Explanation{ND, -1}
		}
	}
	if j.policy.Also != nil && j.policy.Also(f) {
		return Explanation{Allowed, -1}
	}
	return Explanation{Leak, -1}
}

// flow explains carriers and permits, whole and in pieces.
func (j *judge) flow(p *packet) (Explanation, bool) {
	key := piece{p.from, p.to, p.proto, p.id}
	if p.offset > 0 {
		e, ok := j.pieces[key]
		return e, ok && (!p.extended || e.Class == Allowed && j.policy.Permits[e.Entry].Extended)
	}
	e := Explanation{Leak, -1}
	if i := j.policy.carrier(p); i >= 0 {
		e = Explanation{CarrierClass, i}
	} else if i := j.policy.permit(p); i >= 0 {
		e = Explanation{Allowed, i}
	}
	if e.Class == Leak {
		return e, false
	}
	if p.fragment {
		j.pieces[key] = e
	}
	return e, true
}

func (p Policy) carrier(k *packet) int {
	if k.extended || !slices.Contains(p.Hosts, k.from) {
		return -1
	}
	return slices.IndexFunc(p.Carriers, func(c Carrier) bool {
		return k.proto == c.Proto && k.to == c.Remote.Addr() && k.dstPort == c.Remote.Port() &&
			(c.LocalPort == 0 || k.srcPort == c.LocalPort)
	})
}
