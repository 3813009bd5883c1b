package host

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/survey"
)

// closing is what makes a finding of the survey harmless.
type closing int

const (
	bySeal  closing = iota // a seal or a lock
	byFence                // the fence of the wire, which a seal may go without
	never                  // it is open whatever is enforced
	note                   // it is no leak
)

// surveyed are the survey's findings as leaks of the catalogue.
var surveyed = map[string]struct {
	id     string
	closed closing
}{
	"flush-ruleset":      {"ruleset-flush", never},
	"foreign-drop":       {"accept-shadowing", note},
	"foreign-rules":      {"accept-shadowing", note},
	"legacy-iptables":    {"accept-shadowing", note},
	"connectivity-check": {"nm-connectivity-check", bySeal},
	"time-lan":           {"ntp-cleartext", bySeal},
	"mptcp-endpoint":     {"mptcp-subflow", bySeal},
	"rp-filter-loose":    {"asymmetric-reply", bySeal},
	"forwarding":         {"forward-container", bySeal},
	"resolver-socket":    {"dns-unix-socket", bySeal},
	"resolver-listener":  {"dns-container-forwarder", bySeal},
	"nsswitch-resolve":   {"dns-multihomed", note},
	"nsswitch-mdns":      {"dns-name-services", bySeal},
	"resolv-link":        {"dns-rewrite-race", note},
	"resolv-lan":         {"dns-lan-resolver", bySeal},
	"guest-bridge":       {"forward-container", bySeal},
	"docker":             {"dns-container-forwarder", note},
	"other-vpn":          {"transition-tunnels", note},
	"mark-rule":          {"endpoint-mark-spoof", note},
	"child":              {"macvlan-ipvlan", byFence},
	"bridged-wire":       {"bridged-uplink", byFence},
	"br-netfilter":       {"bridged-uplink", note},
	"ipv6":               {"ipv6-native", bySeal},
}

// knobIDs are kernel settings by the words in their names.
var knobIDs = []struct{ word, id string }{
	{"rp_filter", "asymmetric-reply"}, {"arp_ignore", "arp-tunnel-ip"}, {"arp_announce", "arp-sender-tunnel-ip"},
	{"redirects", "icmp-redirect"}, {"accept_source_route", "source-routing"}, {"accept_ra", "ra-rio"}, {"rt_info", "ra-rio"},
}

// Review maps what was read to leaks of the catalogue: a case for each id. What
// could not be read is no case; see [Unread].
func Review(f Facts) []evidence.Case {
	r := review{shut: f.Guard.State != "open", cases: map[string]*evidence.Case{}}
	for _, s := range survey.Judge(f.Survey) {
		known, ok := surveyed[s.ID]
		if !ok {
			continue
		}
		open := known.closed == never && s.Severity == survey.Leaks && f.Guard.State != "open" ||
			known.closed == bySeal && !r.shut || known.closed == byFence && (!r.shut || !f.Guard.fenced())
		r.add(known.id, s.ID, open, s.What, s.Do)
	}
	for _, d := range f.Guard.Drift {
		r.add("ruleset-flush", "drift", true, "what is in force is not what was recorded: "+d, "`vpnguard status`, then `vpnguard recover` or the guardian")
	}
	for _, e := range f.Guard.Exposed {
		switch {
		case strings.HasPrefix(e, "root's other programs"):
			r.add("endpoint-shared-uid", "owner", true, e, "an owner by cgroup or mark, or a user of the client's own")
		case strings.HasPrefix(e, "inbound"):
			r.add("inbound-lan-services", "allowed", false, e+" is allowed by name", "")
		default:
			r.add("accept-shadowing", "allowed", false, "the policy lets past: "+e, "")
		}
	}
	for _, to := range f.Routes {
		if to.IsSingleIP() && !r.shut {
			r.add("port-fail", "route", true, fmt.Sprintf("a route by a wire leads to %s past the tunnel, as clients make one for their server: what any program sends there goes in clear", to.Addr()), "seal the client: `vpnguard hooks`")
			continue
		}
		r.add("dhcp-opt121", "route", !r.shut, fmt.Sprintf("a route by a wire to %s beats the tunnel", to), "find out who set it: the DHCP server's option 121 or 33, or a router advertisement")
	}
	for _, s := range f.Services {
		if !slices.Contains(f.Guard.Allow, s.Port) {
			r.add("inbound-lan-services", s.Port.String(), !r.shut, fmt.Sprintf("%s answers the LAN on %s", program(s), s.Port), "let it listen on loopback or in the tunnel")
		}
	}
	for _, k := range f.Guard.Unset {
		for _, known := range knobIDs {
			if strings.Contains(k, known.word) {
				r.add(known.id, k, !r.shut, "the kernel's setting is not the strict one: "+k, "`vpnguard up` and `lock` set it")
				break
			}
		}
	}
	for _, l := range f.Links {
		r.addresses(l)
	}
	var all []evidence.Case
	for _, c := range r.cases {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b evidence.Case) int { return strings.Compare(a.ID, b.ID) })
	return all
}

type review struct {
	shut  bool // the user's wish is enforced, be it all or a part
	cases map[string]*evidence.Case
}

func (r *review) add(id, subject string, open bool, what, do string) {
	c := r.cases[id]
	if c == nil {
		c = &evidence.Case{ID: id, Variant: "review", Title: "what was read of the machine", Harm: evidence.Exposes}
		r.cases[id] = c
	}
	m := evidence.Remark{Subject: subject, What: what, Do: do, Open: open}
	for slices.ContainsFunc(c.Review, func(o evidence.Remark) bool { return o.Subject == m.Subject }) {
		m.Subject += "+" // two of a kind are two findings
	}
	c.Review = append(c.Review, m)
}

// addresses looks at what the LAN gave the link.
func (r *review) addresses(l Link) {
	for _, p := range l.Addresses {
		a := p.Addr()
		if a.Is4() && !a.IsPrivate() && !a.IsLinkLocalUnicast() && p.Bits() < 31 {
			r.add("localnet-public-subnet", "on "+l.Name, !r.shut, fmt.Sprintf("%s is in the public network %s: if that is not this machine's own, the LAN took it to attract its traffic", l.Name, p.Masked()), "")
		}
		if iid := a.As16(); a.Is6() && a.IsGlobalUnicast() && iid[11] == 0xff && iid[12] == 0xfe {
			r.add("ipv6-eui64", "on "+l.Name, !r.shut, fmt.Sprintf("the address %s of %s tells its card's link address", a, l.Name), "net.ipv6.conf."+l.Name+".addr_gen_mode, use_tempaddr")
		}
	}
}

func program(s Service) string {
	if s.Program == "" {
		return "a program"
	}
	return s.Program
}

// fenced reports whether wires have their fences.
func (g Guard) fenced() bool {
	return !slices.ContainsFunc(g.Notes, func(n string) bool { return strings.HasPrefix(n, "no fences") })
}

// Unread are the parts of the machine that nobody looked at.
func Unread(f Facts) []evidence.Capability {
	var all []evidence.Capability
	for _, u := range f.Survey.Unread {
		all = append(all, evidence.Capability{Name: "read " + u.What, Why: u.Err.Error()})
	}
	return all
}
