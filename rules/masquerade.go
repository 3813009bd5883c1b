package rules

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// MasqueradeTable is the table of a tunnel's server role, in family inet. It is
// not the seal's: it stays as it is while the seal is replaced.
const MasqueradeTable = "vpnguard_nat"

// prioritySrcNAT is where source addresses are translated (NF_IP_PRI_NAT_SRC).
const prioritySrcNAT = 100

// Masquerade is what a server does for the peers behind its tunnel device. The
// zero value of Inside translates nothing, and the fix against port shadowing
// is there all the same, for somebody else's rules may translate.
//
// Port shadowing (CVE-2021-3773): a peer sends from the server's own listen
// port to where another peer's handshake will come from. Translated, that is a
// flow of the server's address and port, and the other's handshake is its
// answer: it goes to the attacker. So nothing from the tunnel leaves with the
// listen port as its source, and nothing is translated to it.
type Masquerade struct {
	// Device is the tunnel's.
	Device string
	// ListenPort is the tunnel's UDP port.
	ListenPort uint16
	// Inside is whose sources are translated when they leave by another device.
	Inside []netip.Prefix
	// Services are other ports on which this host listens, TCP or UDP: shadows
	// of them are prevented as well. Those below 1024 need not be named.
	Services []uint16
}

// Validate reports what makes it unusable.
func (m Masquerade) Validate() error {
	if _, err := endpoint.ParseIfName(m.Device); err != nil {
		return fmt.Errorf("masquerade: device %q: %w", m.Device, err)
	}
	if m.ListenPort == 0 {
		return errors.New("masquerade: the tunnel's listen port is not known")
	}
	for _, p := range m.Inside {
		if !p.IsValid() || p.Addr().Is4In6() || p.Bits() == 0 {
			return fmt.Errorf("masquerade: %s is not a network behind the tunnel", p)
		}
	}
	if r := m.Ports(); r.Last-r.First < minPorts {
		return fmt.Errorf("masquerade: between the services there are only ports %s", r)
	}
	return nil
}

// minPorts are enough for many peers; less would be a mistake.
const minPorts = 4096

// Ports is the widest range above 1023 in which nothing of this host listens:
// what is translated gets a port from it.
func (m Masquerade) Ports() PortRange {
	taken := slices.Concat([]uint16{1023, m.ListenPort}, m.Services)
	slices.Sort(taken)
	var best PortRange
	for i, p := range taken {
		next := 65536
		if i+1 < len(taken) {
			next = int(taken[i+1])
		}
		if p < 1023 || next-int(p) < 2 {
			continue
		}
		if r := (PortRange{p + 1, uint16(next - 1)}); r.Last-r.First > best.Last-best.First {
			best = r
		}
	}
	return best
}

// Translation is one rule of the chain that translates sources.
type Translation struct {
	Matches []Match
	// Ports is what TCP and UDP get; zero: the protocol has none.
	Ports PortRange
	Why   string
}

// Shadow is the chain that keeps packets from the tunnel that claim to come
// from the listen port, and flows that others begin to peers.
func (m Masquerade) Shadow() Chain {
	c := Chain{Name: "shadow", Hook: Forward, Priority: priorityFilter, Policy: Accept}
	c.add("port-shadow", "no peer shadows the tunnel's own port (CVE-2021-3773)", Drop,
		onIface(Incoming, m.Device), Iface{Dir: Outgoing, Name: m.Device, Not: true}, L4{[]uint8{ProtoUDP}}, Port{Src, []PortRange{{m.ListenPort, m.ListenPort}}})
	if len(m.Inside) > 0 {
		c.add("from-outside", "the forwarding is for peers who go out: nobody calls them by it", Drop,
			Iface{Dir: Incoming, Name: m.Device, Not: true}, onIface(Outgoing, m.Device), CT{States: []CTState{CTNew}})
	}
	return c
}

// Translations are the rules of the chain "sources" at the postrouting hook.
func (m Masquerade) Translations() []Translation {
	var out []Translation
	for _, a := range byFamily(Src, slices.Clone(m.Inside)) {
		from := []Match{onIface(Incoming, m.Device), Iface{Dir: Outgoing, Name: m.Device, Not: true}, a}
		out = append(out,
			Translation{append(slices.Clone(from), L4{[]uint8{ProtoTCP, ProtoUDP}}), m.Ports(), "masquerade: never to a port on which this host listens"},
			Translation{from, PortRange{}, "masquerade: protocols without ports"})
	}
	return out
}

// Text is the table as `nft -f` accepts it, in the place of one that there is.
func (m Masquerade) Text() string {
	var w strings.Builder
	fmt.Fprintf(&w, "add table inet %[1]s\ndelete table inet %[1]s\ntable inet %[1]s {\n", MasqueradeTable)
	m.Shadow().text(&w, Inet)
	if len(m.Inside) > 0 {
		fmt.Fprintf(&w, "\n\tchain sources {\n\t\ttype nat hook postrouting priority %d; policy accept;\n", prioritySrcNAT)
		for _, t := range m.Translations() {
			w.WriteString("\t\t")
			for _, x := range t.Matches {
				w.WriteString(matchText(x, Inet) + " ")
			}
			to := ""
			if t.Ports != (PortRange{}) {
				to = fmt.Sprintf(" to :%s", t.Ports)
			}
			fmt.Fprintf(&w, "counter masquerade%s comment %q\n", to, t.Why)
		}
		w.WriteString("\t}\n")
	}
	w.WriteString("}\n")
	return w.String()
}
