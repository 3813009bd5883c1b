package rules

import (
	"net/netip"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Family is an nftables table family.
type Family string

// Families of the tables that vpnguard owns.
const (
	Inet   Family = "inet"
	Netdev Family = "netdev"
)

// TableName is the name of every table that vpnguard owns.
const TableName = "vpnguard"

// Verdict is what a rule or a chain's policy says. The zero value drops.
type Verdict uint8

const (
	Drop        Verdict = iota
	Accept              // ends this chain, not the others on the hook
	RejectTCP           // TCP reset to the sender
	RejectOther         // ICMP(v6) administratively prohibited to the sender
)

func (v Verdict) String() string {
	return [...]string{"drop", "accept", "reject with tcp reset", "reject with icmpx admin-prohibited"}[v]
}

// Passes reports whether the packet goes on.
func (v Verdict) Passes() bool { return v == Accept }

// Hook is where a base chain is attached.
type Hook string

// Hooks of the chains that vpnguard has.
const (
	Prerouting Hook = "prerouting"
	Input      Hook = "input"
	Forward    Hook = "forward"
	Output     Hook = "output"
	Egress     Hook = "egress" // netdev family, Linux 5.16
)

// Ruleset is a complete value: nothing of it depends on what the kernel has.
type Ruleset struct {
	Tables []Table
}

// Table is one table with its named sets and base chains.
type Table struct {
	Family Family
	Name   string
	Sets   []Set
	Chains []Chain
}

// Set is a named set. Addrs or Endpoints is filled, never both.
type Set struct {
	Name      string
	IPv6      bool
	Addrs     []netip.Addr        // type ipv4_addr or ipv6_addr
	Endpoints []endpoint.Endpoint // address . protocol . port
}

// Len is the number of elements.
func (s Set) Len() int { return len(s.Addrs) + len(s.Endpoints) }

// Chain is a base chain.
type Chain struct {
	Name     string
	Hook     Hook
	Device   string // of an egress chain
	Priority int
	Policy   Verdict // Drop or Accept
	Log      bool    // whether rules that end a packet tell LogGroup of it
	Rules    []Rule
}

// Rule is one rule. All matches must hold.
type Rule struct {
	ID      string // unique in its chain; stable over releases
	Why     string // ends up in the kernel as the rule's comment, behind the id
	Matches []Match
	Verdict Verdict
}

// maxComment is what nft accepts for a comment (NFTNL_UDATA_COMMENT_MAXLEN),
// without the terminating zero.
const maxComment = 127

// Comment is the rule's comment in the kernel: its id and its reason.
func (r Rule) Comment() string {
	c := r.ID + ": " + r.Why
	return c[:min(len(c), maxComment)]
}

// Table returns the table of a family, if the ruleset has it.
func (rs Ruleset) Table(f Family) (Table, bool) {
	for _, t := range rs.Tables {
		if t.Family == f {
			return t, true
		}
	}
	return Table{}, false
}

func (t Table) chain(h Hook, device string) (Chain, bool) {
	for _, c := range t.Chains {
		if c.Hook == h && c.Device == device {
			return c, true
		}
	}
	return Chain{}, false
}
