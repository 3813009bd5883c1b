package route

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// String is the rule as `ip rule add` takes it.
func (r Rule) String() string {
	b := &strings.Builder{}
	word := func(format string, args ...any) { fmt.Fprintf(b, " "+format, args...) }
	fmt.Fprintf(b, "priority %d", r.Priority)
	if r.From.IsValid() {
		word("from %s", r.From)
	}
	if r.To.IsValid() {
		word("to %s", r.To)
	}
	if r.Local {
		word("iif %s", loopback)
	}
	if r.Oif != "" {
		word("oif %s", r.Oif)
	}
	if r.Mask != 0 {
		word("fwmark %#x/%#x", r.Mark, r.Mask)
	}
	if r.ByUID {
		word("uidrange %d-%d", r.UID, r.UID)
	}
	switch r.Proto {
	case 0:
	case unix.IPPROTO_TCP:
		word("ipproto tcp")
	case unix.IPPROTO_UDP:
		word("ipproto udp")
	default:
		word("ipproto %d", r.Proto)
	}
	if r.Sport != (Ports{}) {
		word("sport %s", r.Sport)
	}
	if r.Dport != (Ports{}) {
		word("dport %s", r.Dport)
	}
	switch r.Table {
	case 0:
		word("unreachable")
	case tableMain:
		word("lookup main")
	default:
		word("lookup %d", r.Table)
	}
	if r.Longer > 0 {
		word("suppress_prefixlength %d", r.Longer-1)
	}
	return b.String()
}

// String is the port, or the range.
func (p Ports) String() string {
	if p.First == p.Last {
		return fmt.Sprint(p.First)
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// String is the route as `ip route add` takes it.
func (r Route) String() string {
	b := &strings.Builder{}
	if r.Type == unix.RTN_BLACKHOLE {
		b.WriteString("blackhole ")
	}
	b.WriteString(r.Dst.String())
	if r.Gateway.IsValid() {
		fmt.Fprintf(b, " via %s", r.Gateway)
	}
	switch {
	case r.Name != "":
		fmt.Fprintf(b, " dev %s", r.Name)
	case r.Dev != 0:
		fmt.Fprintf(b, " dev #%d", r.Dev)
	}
	if r.Source.IsValid() {
		fmt.Fprintf(b, " src %s", r.Source)
	}
	if r.Onlink {
		b.WriteString(" onlink")
	}
	if r.Metric != 0 {
		fmt.Fprintf(b, " metric %d", r.Metric)
	}
	if r.Table != 0 {
		fmt.Fprintf(b, " table %d", r.Table)
	}
	return b.String()
}

// Lines are the plan as commands of iproute2, for a person to read.
func (p Plan) Lines() (lines []string) {
	for _, r := range p.Routes {
		lines = append(lines, "ip"+family(r.Dst.Addr().Is6())+" route add "+r.String())
	}
	for _, r := range p.Rules {
		lines = append(lines, "ip"+family(r.IPv6)+" rule add "+r.String())
	}
	return lines
}

func family(ipv6 bool) string {
	if ipv6 {
		return " -6"
	}
	return ""
}
