package evidence

import (
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// A Stimulus is what one probe tried, or what an attacker sent.
type Stimulus struct {
	Name string `json:"name"`
	Node string `json:"node"` // where it ran
	UID  int    `json:"uid"`
	// Program is what ran, for a finding's text.
	Program string `json:"program,omitempty"`
	Nonce   string `json:"nonce"`
	// Planned is how many sends there must be. A stimulus of which a part was
	// not tried has no receipt.
	Planned int       `json:"planned"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Sends   []Send    `json:"sends"`
	// Signs tell the stimulus's frames, and the answers to an attacker's, from
	// others at the deciding vantage points.
	Signs Signs `json:"signs"`
	// Marks tell that the stimulus arrived where a tunnel, source or attacker
	// capture looks: any of the byte strings. Empty stands for the nonce.
	Marks [][]byte `json:"marks,omitempty"`
	// Witness are the kernel's own records that a stimulus took place which the
	// kernel sends by itself and later: a group membership, a socket in
	// SYN-SENT, the injected route. Each says where it was read.
	Witness []Section `json:"witness,omitempty"`
}

// A Send is one attempt. Errno zero means that the kernel took it, which is no
// receipt: what it did then must be seen.
type Send struct {
	What  string `json:"what"`
	Errno int    `json:"errno,omitempty"`
	Error string `json:"error,omitempty"`
}

// Signs recognise frames: by any byte string, any flow, or any address in an IP
// header, an ARP packet or a neighbour discovery message.
type Signs struct {
	Needles  [][]byte     `json:"needles,omitempty"`
	Flows    []Flow       `json:"flows,omitempty"`
	Mentions []netip.Addr `json:"mentions,omitempty"`
}

// A Flow's zero fields match everything.
type Flow struct {
	To      netip.Addr `json:"to,omitzero"`
	Proto   uint8      `json:"proto,omitempty"`
	SrcPort uint16     `json:"src_port,omitempty"`
	DstPort uint16     `json:"dst_port,omitempty"`
}

// SignsOf are the signs of a probe's own evidence.
func SignsOf(e wire.Evidence) Signs {
	s := Signs{Needles: e.Needles}
	for _, f := range e.Flows {
		s.Flows = append(s.Flows, Flow(f))
	}
	return s
}

// Wire is the needles and flows as the wire package takes them.
func (s Signs) Wire() wire.Evidence {
	e := wire.Evidence{Needles: s.Needles}
	for _, f := range s.Flows {
		e.Flows = append(e.Flows, wire.Flow(f))
	}
	return e
}
