package nft

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/fault"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// Feature is a part of nf_tables that rules need.
type Feature struct {
	Name   string
	Since  string // the first kernel that has it
	Module string // what the kernel's configuration calls it
	sample rules.Ruleset
}

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

// features are what rulesets are made of.
func features() []Feature {
	reject := chainSample(rules.Inet, rules.Chain{Name: "c", Hook: rules.Output, Policy: rules.Accept,
		Rules: []rules.Rule{{ID: "probe", Matches: []rules.Match{rules.L4{Protos: []uint8{rules.ProtoTCP}}}, Verdict: rules.RejectTCP}}})
	pre := chainSample(rules.Inet, rules.Chain{Name: "c", Hook: rules.Prerouting, Policy: rules.Accept,
		Rules: []rules.Rule{{ID: "probe", Matches: []rules.Match{rules.FIB{Question: rules.SourceUnreachableByIface}}, Verdict: rules.Accept}}})
	egress := chainSample(rules.Netdev, rules.Chain{Name: "c", Hook: rules.Egress, Device: "lo", Policy: rules.Accept})
	return []Feature{
		{"nf_tables inet tables", "3.14", "CONFIG_NF_TABLES_INET", sample()},
		{"egress hook", "5.16", "CONFIG_NETFILTER_EGRESS", egress},
		{"reverse path lookup (fib)", "4.10", "CONFIG_NFT_FIB_INET", pre},
		{"reject", "3.18", "CONFIG_NFT_REJECT_INET", reject},
		{"connection tracking (ct)", "3.13", "CONFIG_NFT_CT", sample(rules.CT{States: []rules.CTState{rules.CTEstablished}})},
		{"socket owner (skuid)", "3.13", "CONFIG_NF_TABLES", sample(rules.SKUID{UID: 0})},
		{"sets", "3.13", "CONFIG_NF_TABLES", sample(rules.L4{Protos: []uint8{rules.ProtoTCP, rules.ProtoUDP}})},
		{"socket cgroup v2", "5.13", "CONFIG_NFT_SOCKET", sample(rules.SocketCgroup{Cgroup: rules.Cgroup{Path: "/", Level: 1, ID: 1}})},
	}
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
	if err := fault.Refuse("nft." + f.Name); err != nil {
		return err
	}
	tables, err := lower.Lower(f.sample)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := c.queueTable(t); err != nil {
			return err
		}
		c.nft.DelTable(t.Table)
	}
	return c.nft.Flush()
}

// lacking are the answers by which a kernel says that it does not know something.
var lacking = []error{unix.EOPNOTSUPP, unix.ENOENT, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.EINVAL}

// explain finds out which features the ruleset was refused for.
func (c *Conn) explain(rs rules.Ruleset, err error) error {
	known := false
	for _, e := range lacking {
		known = known || errors.Is(err, e)
	}
	if !known {
		return err
	}
	_, fenced := rs.Table(rules.Netdev)
	var missing []Feature
	for _, s := range c.Probe() {
		if s.Err != nil && (fenced || s.Name != "egress hook") && s.Name != "socket cgroup v2" {
			missing = append(missing, s.Feature)
		}
	}
	if len(missing) == 0 {
		return err
	}
	return &UnsupportedError{Missing: missing, Err: err}
}
