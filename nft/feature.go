package nft

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/fault"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// Feature is a part of nf_tables that rules need.
type Feature struct {
	Token  string // one word; Refuse("nft."+Token) simulates a kernel without it
	Name   string
	Since  string // the first kernel that has it
	Module string // what the kernel's configuration calls it
	// Optional: without it packets are decided on alike; rules are made without it.
	Optional bool
	sample   rules.Ruleset
	need     func(lower.Table) bool // whether a table is made with it
}

// noNetlink is what a kernel or a sandbox lacks that has no netfilter socket.
var noNetlink = Feature{Token: "netlink", Name: "netfilter netlink sockets", Since: "2.6.14", Module: "CONFIG_NETFILTER_NETLINK"}

// Status is a feature and what the kernel said to it.
type Status struct {
	Feature
	Err error // nil: the kernel has it
}

// UnsupportedError names the features that the running kernel lacks.
type UnsupportedError struct {
	Missing []Feature
	Err     error // what the kernel answered to the whole change
}

func (e *UnsupportedError) Error() string {
	parts := make([]string, 0, len(e.Missing))
	for _, f := range e.Missing {
		parts = append(parts, fmt.Sprintf("%s (Linux %s, %s)", f.Name, f.Since, f.Module))
	}
	return fmt.Sprintf("%v; this kernel lacks: %s", e.Err, strings.Join(parts, ", "))
}

func (e *UnsupportedError) Unwrap() error { return e.Err }

// probeTable never exists outside its own transaction.
const probeTable = "vpnguard_probe"

func sample(m ...rules.Match) rules.Ruleset {
	return chainSample(rules.Inet, rules.Chain{Name: "c", Hook: rules.Output, Policy: rules.Accept,
		Rules: []rules.Rule{{ID: "probe", Matches: m, Verdict: rules.Accept}}})
}

func chainSample(f rules.Family, c rules.Chain) rules.Ruleset {
	return rules.Ruleset{Tables: []rules.Table{{Family: f, Name: probeTable, Chains: []rules.Chain{c}}}}
}

// NFLog is what rules tell blocked packets by. Both families must have it: the
// fence tells too.
var NFLog = Feature{Token: "nflog", Name: "telling blocked packets (nflog)", Since: "3.17",
	Module: "CONFIG_NFT_LOG, CONFIG_NETFILTER_NETLINK_LOG", Optional: true, sample: logSample(), need: with[*expr.Log]}

func logSample() rules.Ruleset {
	reserved := rules.L4{Protos: []uint8{255}} // no packet has this protocol
	return chainSample(rules.Inet, rules.Chain{Name: "c", Hook: rules.Output, Policy: rules.Accept, Log: true,
		Rules: []rules.Rule{{ID: "probe", Matches: []rules.Match{reserved}, Verdict: rules.Drop}}})
}

// features are what rulesets are made of.
func features() []Feature {
	reject := chainSample(rules.Inet, rules.Chain{Name: "c", Hook: rules.Output, Policy: rules.Accept,
		Rules: []rules.Rule{{ID: "probe", Matches: []rules.Match{rules.L4{Protos: []uint8{rules.ProtoTCP}}}, Verdict: rules.RejectTCP}}})
	pre := chainSample(rules.Inet, rules.Chain{Name: "c", Hook: rules.Prerouting, Policy: rules.Accept,
		Rules: []rules.Rule{{ID: "probe", Matches: []rules.Match{rules.FIB{Question: rules.SourceUnreachableByIface}}, Verdict: rules.Accept}}})
	egress := chainSample(rules.Netdev, rules.Chain{Name: "c", Hook: rules.Egress, Device: "lo", Policy: rules.Accept})
	return []Feature{
		{"inet", "nf_tables inet tables", "3.14", "CONFIG_NF_TABLES_INET", false, sample(), ofFamily(rules.Inet)},
		{"egress", "egress hook", "5.16", "CONFIG_NETFILTER_EGRESS", false, egress, ofFamily(rules.Netdev)},
		{"fib", "reverse path lookup (fib)", "4.10", "CONFIG_NFT_FIB_INET", false, pre, with[*expr.Fib]},
		{"reject", "reject", "3.18", "CONFIG_NFT_REJECT_INET", false, reject, with[*expr.Reject]},
		{"ct", "connection tracking (ct)", "3.13", "CONFIG_NFT_CT", false, sample(rules.CT{States: []rules.CTState{rules.CTEstablished}}), with[*expr.Ct]},
		{"skuid", "socket owner (skuid)", "3.13", "CONFIG_NF_TABLES", false, sample(rules.SKUID{UID: 0}), withSKUID},
		{"sets", "sets", "3.13", "CONFIG_NF_TABLES", false, sample(rules.L4{Protos: []uint8{rules.ProtoTCP, rules.ProtoUDP}}), with[*expr.Lookup]},
		{"cgroup", "socket cgroup v2", "5.13", "CONFIG_NFT_SOCKET", false, sample(rules.SocketCgroup{Cgroup: rules.Cgroup{Path: "/", Level: 1, ID: 1}}), with[*expr.Socket]},
		NFLog,
	}
}

func ofFamily(f rules.Family) func(lower.Table) bool {
	return func(t lower.Table) bool { return t.Family == lower.Family(f) }
}

// with reports whether a rule of the table has an expression of this kind.
func with[E expr.Any](t lower.Table) bool {
	return anyExpr(t, func(e expr.Any) bool { _, ok := e.(E); return ok })
}

func withSKUID(t lower.Table) bool {
	return anyExpr(t, func(e expr.Any) bool { m, ok := e.(*expr.Meta); return ok && m.Key == expr.MetaKeySKUID })
}

func anyExpr(t lower.Table, is func(expr.Any) bool) bool {
	for _, c := range t.Chains {
		for _, r := range c.Rules {
			if slices.ContainsFunc(r.Exprs, is) {
				return true
			}
		}
	}
	return false
}

// refused stands in for a kernel that lacks something that the tables are made with.
func refused(tables []lower.Table) error {
	for _, f := range features() {
		if slices.ContainsFunc(tables, f.need) {
			if err := fault.Refuse("nft." + f.Token); err != nil {
				return err
			}
		}
	}
	return nil
}

// Probe asks the kernel for each feature. It leaves nothing behind: a
// sample is added and removed in one transaction.
func (c *Conn) Probe() []Status {
	var out []Status
	for _, f := range features() {
		out = append(out, Status{f, c.try(f)})
	}
	return out
}

func (c *Conn) try(f Feature) error {
	if err := fault.Refuse("nft." + f.Token); err != nil {
		return err
	}
	tables, err := lower.Lower(f.sample)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := c.queueTable(t); err != nil {
			return errors.Join(err, c.discard())
		}
		c.nft.DelTable(t.Table)
	}
	return c.nft.Flush()
}

// lacking are the answers by which a kernel says that it does not know something.
var lacking = []error{unix.EOPNOTSUPP, unix.ENOENT, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.EINVAL}

// explain finds out which features the tables were refused for. What they
// are not made with does not count.
func (c *Conn) explain(tables []lower.Table, err error) error {
	known := false
	for _, e := range lacking {
		known = known || errors.Is(err, e)
	}
	if !known {
		return err
	}
	var missing []Feature
	for _, s := range c.Probe() {
		if s.Err != nil && slices.ContainsFunc(tables, s.need) {
			missing = append(missing, s.Feature)
		}
	}
	// What can be left out is no reason while something else is missing.
	needed := slices.DeleteFunc(slices.Clone(missing), func(f Feature) bool { return f.Optional })
	if len(needed) > 0 {
		missing = needed
	}
	if len(missing) == 0 {
		return err
	}
	return &UnsupportedError{Missing: missing, Err: err}
}
