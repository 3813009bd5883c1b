package lower_test

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// ruleOf lowers one rule with these matches, in an inet table with the sets
// that a ruleset has.
func ruleOf(t *testing.T, matches ...rules.Match) lower.Rule {
	t.Helper()
	tables, err := lower.Lower(rulesetOf(rules.Rule{ID: "id", Why: "why", Matches: matches, Verdict: rules.Accept}))
	if err != nil {
		t.Fatal(err)
	}
	return tables[0].Chains[0].Rules[0]
}

func rulesetOf(list ...rules.Rule) rules.Ruleset {
	e, _ := endpoint.Parse("203.0.113.10:1194/udp")
	return rules.Ruleset{Tables: []rules.Table{{
		Family: rules.Inet, Name: "vpnguard",
		Sets: []rules.Set{
			{Name: "servers", Addrs: []netip.Addr{netip.MustParseAddr("203.0.113.10")}},
			{Name: "tuples", Endpoints: []endpoint.Endpoint{e}},
		},
		Chains: []rules.Chain{{Name: "output", Hook: rules.Output, Rules: list}},
	}}}
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// kinds holds one match of each kind, and something of it that must show in the expressions.
func kinds() map[string]struct {
	match rules.Match
	shows func(expr.Any) bool
} {
	type kind = struct {
		match rules.Match
		shows func(expr.Any) bool
	}
	meta := func(k expr.MetaKey) func(expr.Any) bool {
		return func(e expr.Any) bool { m, ok := e.(*expr.Meta); return ok && m.Key == k }
	}
	at := func(base expr.PayloadBase, offset, length uint32) func(expr.Any) bool {
		return func(e expr.Any) bool {
			p, ok := e.(*expr.Payload)
			return ok && p.Base == base && p.Offset == offset && p.Len == length
		}
	}
	const network, transport = expr.PayloadBaseNetworkHeader, expr.PayloadBaseTransportHeader
	return map[string]kind{
		"Iface":            {rules.Iface{Name: "tun0"}, meta(expr.MetaKeyOIFNAME)},
		"Iface incoming":   {rules.Iface{Name: "tun0", Dir: rules.Incoming}, meta(expr.MetaKeyIIFNAME)},
		"EtherType":        {rules.EtherType{Value: 0x888e}, meta(expr.MetaKeyPROTOCOL)},
		"L4":               {rules.L4{Protos: []uint8{6}}, meta(expr.MetaKeyL4PROTO)},
		"Addr":             {rules.Addr{Prefixes: prefixes("10.0.0.0/8")}, at(network, 16, 4)},
		"Addr of source":   {rules.Addr{Side: rules.Src, Prefixes: prefixes("fe80::/10")}, at(network, 8, 16)},
		"AddrSet":          {rules.AddrSet{Set: "servers"}, at(network, 16, 4)},
		"Tuple":            {rules.Tuple{Set: "tuples"}, at(transport, 2, 2)},
		"Tuple of source":  {rules.Tuple{Side: rules.Src, Set: "tuples"}, at(transport, 0, 2)},
		"Port":             {rules.Port{Ranges: []rules.PortRange{{First: 53, Last: 53}}}, at(transport, 2, 2)},
		"SKUID":            {rules.SKUID{UID: 1000}, meta(expr.MetaKeySKUID)},
		"FwMark":           {rules.FwMark{Value: 1, Mask: 3}, meta(expr.MetaKeyMARK)},
		"SocketCgroup":     {rules.SocketCgroup{Cgroup: rules.Cgroup{Path: "a", Level: 1, ID: 7}}, func(e expr.Any) bool { s, ok := e.(*expr.Socket); return ok && s.Level == 1 }},
		"CT":               {rules.CT{States: []rules.CTState{rules.CTEstablished}}, func(e expr.Any) bool { c, ok := e.(*expr.Ct); return ok && c.Key == expr.CtKeySTATE }},
		"CT in reply":      {rules.CT{States: []rules.CTState{rules.CTEstablished}, Reply: true}, func(e expr.Any) bool { c, ok := e.(*expr.Ct); return ok && c.Key == expr.CtKeyDIRECTION }},
		"FIB":              {rules.FIB{}, func(e expr.Any) bool { f, ok := e.(*expr.Fib); return ok && f.FlagSADDR && f.FlagIIF && f.ResultOIF }},
		"ICMP":             {rules.ICMP{Types: []uint8{3}}, at(transport, 1, 1)},
		"ICMPv6":           {rules.ICMP{IPv6: true, Types: []uint8{135}}, at(transport, 0, 1)},
		"NDForm":           {rules.NDForm{}, at(network, 4, 2)},
		"NDForm with room": {rules.NDForm{AnyLength: true}, at(network, 7, 1)},
		"DHCPForm":         {rules.DHCPForm{Op: 1}, at(transport, 244, 4)},
		"ARPForm":          {rules.ARPForm{}, at(network, 6, 2)},
		"ARPSender":        {rules.ARPSender{Addrs: []netip.Addr{netip.MustParseAddr("10.8.0.2")}}, at(network, 14, 4)},
		"ARPTarget":        {rules.ARPTarget{Prefixes: prefixes("10.0.0.0/8", "192.168.0.0/16")}, at(network, 24, 4)},
		"TCPMidstream":     {rules.TCPMidstream{}, at(transport, 13, 1)},
		"TrailingFragment": {rules.TrailingFragment{}, at(network, 6, 2)},
		"TrailingFragment6": {rules.TrailingFragment{IPv6: true}, func(e expr.Any) bool {
			x, ok := e.(*expr.Exthdr)
			return ok && x.Type == unix.IPPROTO_FRAGMENT && x.Offset == 2
		}},
	}
}

func TestEachKindOfMatchIsLowered(t *testing.T) {
	for name, k := range kinds() {
		r := ruleOf(t, k.match)
		if !slices.ContainsFunc(r.Exprs, k.shows) {
			t.Errorf("%s: what it compares does not show in %v", name, r.Exprs)
		}
		if n := len(r.Exprs); n < 4 {
			t.Errorf("%s: %d expressions are a load, a comparison, a counter and a verdict at least", name, n)
		}
		last, ok := r.Exprs[len(r.Exprs)-1].(*expr.Verdict)
		if !ok || last.Kind != expr.VerdictAccept {
			t.Errorf("%s: the rule does not end with its verdict", name)
		}
	}
}

func TestVerdictsAreLowered(t *testing.T) {
	for v, want := range map[rules.Verdict]expr.Any{
		rules.Accept:      &expr.Verdict{Kind: expr.VerdictAccept},
		rules.Drop:        &expr.Verdict{Kind: expr.VerdictDrop},
		rules.RejectTCP:   &expr.Reject{Type: unix.NFT_REJECT_TCP_RST},
		rules.RejectOther: &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED},
	} {
		tables, err := lower.Lower(rulesetOf(rules.Rule{ID: "id", Why: "why", Verdict: v}))
		if err != nil {
			t.Fatal(err)
		}
		exprs := tables[0].Chains[0].Rules[0].Exprs
		if len(exprs) != 2 {
			t.Fatalf("%s: %v", v, exprs)
		}
		if _, ok := exprs[0].(*expr.Counter); !ok {
			t.Errorf("%s: no counter", v)
		}
		data, err := expr.Marshal(unix.NFPROTO_INET, exprs[1])
		if err != nil {
			t.Fatal(err)
		}
		if wantData, _ := expr.Marshal(unix.NFPROTO_INET, want); !bytes.Equal(data, wantData) {
			t.Errorf("%s becomes %+v, want %+v", v, exprs[1], want)
		}
	}
}

func TestNamesArePaddedToTheirWholeLength(t *testing.T) {
	for _, name := range []string{"t", "tun0", "123456789012345"} {
		for _, not := range []bool{false, true} {
			r := ruleOf(t, rules.Iface{Name: name, Not: not})
			c, ok := r.Exprs[1].(*expr.Cmp)
			if !ok || len(c.Data) != 16 || string(c.Data) != name+strings.Repeat("\x00", 16-len(name)) {
				t.Errorf("%q is compared as %q", name, c.Data)
			}
			if want := map[bool]expr.CmpOp{false: expr.CmpOpEq, true: expr.CmpOpNeq}[not]; c.Op != want {
				t.Errorf("%q, not %v: operator %v", name, not, c.Op)
			}
		}
	}
}

type foreign struct{ rules.Match }

func TestUnknownPartsAreErrors(t *testing.T) {
	bad := map[string]rules.Ruleset{
		"no expression for a match of type lower_test.foreign": rulesetOf(rules.Rule{ID: "x", Matches: []rules.Match{foreign{}}}),
		`no set "nowhere"`: rulesetOf(rules.Rule{ID: "x", Matches: []rules.Match{rules.Tuple{Set: "nowhere"}}}),
		`no set "nobody"`:  rulesetOf(rules.Rule{ID: "x", Matches: []rules.Match{rules.AddrSet{Set: "nobody"}}}),
	}
	hook := rulesetOf()
	hook.Tables[0].Chains[0].Hook = "postrouting"
	bad[`unknown hook "postrouting"`] = hook
	for want, rs := range bad {
		tables, err := lower.Lower(rs)
		if err == nil || !strings.Contains(err.Error(), want) || tables != nil {
			t.Errorf("%d tables, error %v, want %q", len(tables), err, want)
		}
	}
}

func TestCommentComesBackFromUserData(t *testing.T) {
	if got := lower.Comment(ruleOf(t, rules.SKUID{}).UserData); got != "id: why" {
		t.Errorf("comment %q", got)
	}
	if got := lower.Comment(nil); got != "" {
		t.Errorf("comment of nothing %q", got)
	}
}

func TestFamilyOfATable(t *testing.T) {
	if lower.Family(rules.Inet) != nftables.TableFamilyINet || lower.Family(rules.Netdev) != nftables.TableFamilyNetdev {
		t.Error("families are mixed up")
	}
}
