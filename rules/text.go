package rules

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Text is the ruleset as `nft -f` accepts it (nft 1.0.6 and later). Loading
// it into a host that has the tables already adds to them; what replaces
// them in one transaction is [Ruleset.Replacement].
func (rs Ruleset) Text() string {
	var w strings.Builder
	for i, t := range rs.Tables {
		if i > 0 {
			w.WriteByte('\n')
		}
		t.text(&w)
	}
	return w.String()
}

// Replacement is Text behind what removes our own tables, as one transaction.
func (rs Ruleset) Replacement() string {
	var w strings.Builder
	for _, t := range rs.Tables {
		fmt.Fprintf(&w, "add table %[1]s %[2]s\ndelete table %[1]s %[2]s\n", t.Family, t.Name)
	}
	return w.String() + rs.Text()
}

func (t Table) text(w *strings.Builder) {
	fmt.Fprintf(w, "table %s %s {\n", t.Family, t.Name)
	for i, s := range t.Sets {
		if i > 0 {
			w.WriteByte('\n')
		}
		s.text(w)
	}
	for i, c := range t.Chains {
		if i > 0 || len(t.Sets) > 0 {
			w.WriteByte('\n')
		}
		c.text(w, t.Family)
	}
	w.WriteString("}\n")
}

func (s Set) text(w *strings.Builder) {
	kind := "ipv4_addr"
	if s.IPv6 {
		kind = "ipv6_addr"
	}
	elements := make([]string, 0, s.Len())
	for _, a := range s.Addrs {
		elements = append(elements, a.String())
	}
	for _, e := range s.Endpoints {
		elements = append(elements, fmt.Sprintf("%s . %s . %d", e.Addr.Addr(), e.Proto, e.Addr.Port()))
	}
	if len(s.Endpoints) > 0 {
		kind += " . inet_proto . inet_service"
	}
	fmt.Fprintf(w, "\tset %s {\n\t\ttype %s\n", s.Name, kind)
	fmt.Fprintf(w, "\t\telements = { %s }\n\t}\n", strings.Join(elements, ",\n\t\t\t     "))
}

func (c Chain) text(w *strings.Builder, f Family) {
	fmt.Fprintf(w, "\tchain %s {\n\t\ttype filter hook %s", c.Name, c.Hook)
	if c.Device != "" {
		fmt.Fprintf(w, " device %q", c.Device)
	}
	fmt.Fprintf(w, " priority %d; policy %s;\n", c.Priority, c.Policy)
	for _, r := range c.Rules {
		w.WriteString("\t\t")
		for _, m := range r.Matches {
			w.WriteString(matchText(m, f))
			w.WriteByte(' ')
		}
		fmt.Fprintf(w, "counter %s%s comment %q\n", c.logText(r), r.Verdict, r.Comment())
	}
	w.WriteString("\t}\n")
}

// matchText is one condition in nft's language. Values come from typed
// fields only; names were checked by Validate.
func matchText(m Match, f Family) string {
	switch m := m.(type) {
	case Iface:
		return pick(m.Dir, "oifname", "iifname") + not(m.Not) + strconv.Quote(m.Name)
	case EtherType:
		return fmt.Sprintf("meta protocol 0x%04x", m.Value)
	case L4:
		return "meta l4proto " + list(m.Protos, protoName)
	case Addr:
		return ip(m.ipv6()) + sideText(m.Side, "addr") + " " + m.listText()
	case AddrSet:
		return ip(m.IPv6) + sideText(m.Side, "addr") + " @" + m.Set
	case Tuple:
		return ip(m.IPv6) + sideText(m.Side, "addr") + " . meta l4proto . th " + strings.TrimSpace(sideText(m.Side, "port")) + " @" + m.Set
	case Port:
		return "th" + sideText(m.Side, "port") + " " + list(m.Ranges, PortRange.String)
	case SKUID:
		return "meta skuid " + strconv.FormatUint(uint64(m.UID), 10)
	case FwMark:
		if m.Mask == ^uint32(0) {
			return fmt.Sprintf("meta mark 0x%08x", m.Value)
		}
		return fmt.Sprintf("meta mark & 0x%08x == 0x%08x", m.Mask, m.Value)
	case SocketCgroup:
		// nft takes a backslash as it is, and systemd's names have some.
		return fmt.Sprintf("socket cgroupv2 level %d \"%s\"", m.Cgroup.Level, m.Cgroup.Path)
	case CT:
		s := "ct state " + strings.Join(mapped(m.States, CTState.String), ",")
		if m.Reply {
			s += " ct direction reply"
		}
		return s
	case FIB:
		return m.Question.text()
	case ICMP:
		name := "icmp"
		if m.IPv6 {
			name = "icmpv6"
		}
		s := fmt.Sprintf("%s type %s", name, list(m.Types, func(t uint8) string { return strconv.Itoa(int(t)) }))
		if !m.AnyCode {
			s += fmt.Sprintf(" %s code 0", name)
		}
		return s
	case NDForm:
		s := "ip6 nexthdr 58 ip6 hoplimit 255"
		if !m.AnyLength {
			s += fmt.Sprintf(" ip6 length <= %d", NDMaxLength)
		}
		return s + targetText(m.Target)
	case DHCPForm:
		return fmt.Sprintf("ip hdrlength 5 ip frag-off & 0x3fff == 0 @th,%d,8 %d @th,%d,32 0x%08x", DHCPOpOffset*8, m.Op, DHCPCookieOffset*8, DHCPCookie)
	case ARPForm:
		return "arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp operation { request, reply } meta length <= " + strconv.Itoa(ARPMaxLength)
	case ARPSender:
		return "arp saddr ip " + list(m.Addrs, netip.Addr.String)
	case ARPTarget:
		return "arp daddr ip " + list(m.Prefixes, prefixText)
	case TCPMidstream:
		return "tcp flags & (syn | ack) != syn"
	case TrailingFragment:
		if m.IPv6 {
			return "frag frag-off != 0"
		}
		return "ip frag-off & 0x1fff != 0"
	}
	panic(fmt.Sprintf("rules: no text for %T in %s", m, f))
}

// Offsets from the transport header, in bytes: 8 of UDP, then BOOTP's
// (RFC 951) and the cookie behind its fixed 236 bytes (RFC 2131 section 3).
const (
	DHCPOpOffset     = 8
	DHCPCookieOffset = 8 + 236
	DHCPCookie       = 0x63825363
	// NDMaxLength has room for a solicitation, its link-layer address and a
	// nonce (RFC 3971, RFC 7527), in bytes behind the IPv6 header.
	NDMaxLength = 72
	// NDTargetOffset is that of the target from the ICMPv6 header, in bytes (RFC 4861).
	NDTargetOffset = 8
	// ARPMaxLength is the frame that the kernel makes, Ethernet header
	// included (RFC 826); drivers pad it behind the fence.
	ARPMaxLength = 14 + 28
)

// allOnes under a prefix's length is its mask.
var (
	allOnes  = netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	allOnes4 = netip.MustParseAddr("255.255.255.255")
)

// targetText compares the target as bytes: nft 1.0.6 has no word for it.
func targetText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	at := fmt.Sprintf(" @th,%d,128", NDTargetOffset*8)
	if !p.IsSingleIP() {
		at += fmt.Sprintf(" & 0x%x ==", netip.PrefixFrom(allOnes, p.Bits()).Masked().Addr().AsSlice())
	}
	return fmt.Sprintf("%s 0x%x", at, p.Masked().Addr().AsSlice())
}

// listText masks the address where all prefixes have one length, so that their
// set is a hash.
func (a Addr) listText() string {
	bits, ok := a.Uniform()
	if !ok || len(a.Prefixes) == 1 || a.Prefixes[0].IsSingleIP() {
		return list(a.Prefixes, prefixText)
	}
	ones := allOnes
	if !a.ipv6() {
		ones = allOnes4
	}
	return fmt.Sprintf("& %s == %s", netip.PrefixFrom(ones, bits).Masked().Addr(),
		list(a.Prefixes, func(p netip.Prefix) string { return p.Masked().Addr().String() }))
}

func (q Question) text() string {
	return [...]string{
		SourceUnreachableByIface: "fib saddr . iif oif missing",
		DestinationLocal:         "fib daddr type local",
		DestinationNotOnIface:    "fib daddr . iif type != local",
		DestinationOnIface:       "fib daddr . iif type local",
		SourceOnOutIface:         "fib saddr . oif type local",
	}[q]
}

func (s CTState) String() string {
	return [...]string{"untracked", "new", "established", "related", "invalid"}[s]
}

func (p PortRange) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

func protoName(p uint8) string {
	switch p {
	case ProtoTCP:
		return "tcp"
	case ProtoUDP:
		return "udp"
	}
	return strconv.Itoa(int(p))
}

func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func ip(ipv6 bool) string {
	if ipv6 {
		return "ip6"
	}
	return "ip"
}

func sideText(s Side, what string) string {
	if s == Src {
		return " s" + what
	}
	return " d" + what
}

func pick(d Direction, out, in string) string {
	if d == Incoming {
		return in
	}
	return out
}

func not(n bool) string {
	if n {
		return " != "
	}
	return " "
}

// list writes one value as it is and several as a set.
func list[T any](values []T, text func(T) string) string {
	if len(values) == 1 {
		return text(values[0])
	}
	return "{ " + strings.Join(mapped(values, text), ", ") + " }"
}

func mapped[T any](values []T, text func(T) string) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, text(v))
	}
	return out
}
