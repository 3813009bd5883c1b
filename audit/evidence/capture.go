package evidence

import (
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// A Capture is what one vantage point saw during one run.
type Capture struct {
	Vantage   string `json:"vantage"`
	Role      Role   `json:"role"`
	Interface string `json:"interface"`
	Layer     Layer  `json:"layer,omitempty"`
	// Decides is true where silence is a claim: every frame must be explained,
	// and the capture must be proven alive. The wire's captures always decide.
	Decides bool `json:"decides"`
	// Declared explains frames, at a vantage point that decides.
	Declared Declared `json:"declared"`
	Canaries []Canary `json:"canaries,omitempty"`
	Drops    uint64   `json:"drops"` // frames that the kernel lost, or the cable
	// Count is how many frames were recorded, to be compared with what a bundle holds.
	Count int `json:"count"`
	// Tallies count frames that an entry explained while the capture ran and
	// that were not kept: on a host in use they are the user's own traffic.
	Tallies []Tally      `json:"tallies,omitempty"`
	Frames  []wire.Frame `json:"-"`
	// Error says why the capture ended early.
	Error string `json:"error,omitempty"`
}

// A Role is what a vantage point can witness.
type Role string

// The roles. The zero value is a wire.
const (
	Wire     Role = ""         // the far end of a link of the audited host: what leaves it
	Internet Role = "internet" // behind the LAN's router
	Inside   Role = "tunnel"   // decrypted: in the tunnel, or behind its server
	Source   Role = "source"   // where a stimulus enters the host: a guest's cable, a device before the guard
	Attacker Role = "attacker" // what the attacker sent
	// Host is the audited host's own end of a link. It decides what it saw and
	// proves no silence: a packet socket can pass it by.
	Host Role = "host"
)

// A Tally is how many frames an entry of the declared policy explained.
type Tally struct {
	Entry  string `json:"entry"`
	Frames uint64 `json:"frames"`
}

// Deciding reports whether the capture's silence is a claim.
func (c Capture) Deciding() bool { return c.Decides || c.Role == Wire }

// Layer is the link layer of a capture's frames. The zero value is Ethernet.
type Layer string

// The link layers.
const (
	Ethernet Layer = ""
	IP       Layer = "ip" // no link header, as on a tun device
)

// A Canary proves that a capture was alive at a time: frames were put in front
// of it and came back out.
type Canary struct {
	When Place     `json:"when"`
	At   time.Time `json:"at"`
	Sent int       `json:"sent"`
	Seen int       `json:"seen"`
}

// Place is where in a run a canary was sent.
type Place string

// The places. A deciding capture needs all three.
const (
	AtStart Place = "before"
	Between Place = "between"
	AtEnd   Place = "after"
)

// Declared is the policy of one vantage point: who may send, and what, with
// the reason. The zero value explains nothing.
type Declared struct {
	MACs       []string     `json:"macs,omitempty"`
	Hosts      []netip.Addr `json:"hosts,omitempty"`      // the senders' own addresses here
	Neighbours []netip.Addr `json:"neighbours,omitempty"` // whom they may look for
	Entries    []Entry      `json:"entries,omitempty"`
	// Never are addresses that no frame may mention, whatever else explains it:
	// the tunnel's own.
	Never []netip.Addr `json:"never,omitempty"`
}

// An Entry explains frames. One without a reason explains none.
type Entry struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Reason string `json:"reason"`
	// To is a carrier's server as a prefix of full length, or a permit's or
	// plumbing's destinations.
	To       netip.Prefix `json:"to,omitzero"`
	Proto    uint8        `json:"proto,omitempty"`
	ToPort   uint16       `json:"to_port,omitempty"`
	FromPort uint16       `json:"from_port,omitempty"` // 0 is any
	// Extended lets a permit's packets have IPv4 options or IPv6 extension
	// headers, as group reports do.
	Extended bool `json:"extended,omitempty"`
	// Sources are the inner sources that an [Inner] entry takes.
	Sources []netip.Prefix `json:"sources,omitempty"`
}

// A Kind is how an entry recognises frames.
type Kind string

// The kinds.
const (
	Carrier  Kind = "carrier" // To, Proto, ToPort and, if given, FromPort
	ARP      Kind = "arp"
	EAPOL    Kind = "eapol"
	DHCP     Kind = "dhcp"
	DHCPv6   Kind = "dhcpv6"
	ND       Kind = "nd"
	Permit   Kind = "permit"   // what the user allowed by name
	Plumbing Kind = "plumbing" // of the laboratory itself
	Inner    Kind = "inner"    // packets inside the tunnel, by their source
)
