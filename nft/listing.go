package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// Listing is what the kernel has of our tables.
type Listing struct {
	Tables []Table
}

// Table is one table in the kernel.
type Table struct {
	Family rules.Family
	Name   string
	// Dormant tables are there but decide on nothing.
	Dormant bool
	Owned   bool // whether one netlink socket alone may change it

	persistent bool   // stays when its owner ends
	port       uint32 // of the owner's socket

	Sets   []Set // named ones
	Chains []Chain
}

// Set is a named set in the kernel.
type Set struct {
	Name string
	Len  int // number of elements

	flags uint32
	keys  [sha256.Size]byte
}

// Chain is a chain in the kernel. A chain without a hook has an empty Hook.
type Chain struct {
	Name     string
	Type     string // ours are "filter"
	Hook     rules.Hook
	Device   string
	Priority int
	Policy   rules.Verdict
	Rules    []Rule
}

// Rule is a rule in the kernel.
type Rule struct {
	Comment string // id and reason; empty: not ours
	Packets uint64
	Bytes   uint64
	exprs   [sha256.Size]byte // of all expressions but counts
}

// Fingerprint is a digest over everything that decides on packets. The
// kernel's own form of each expression goes in, so that two listings with
// the same fingerprint treat every packet alike. Counts do not go in.
func (l Listing) Fingerprint() string {
	parts := l.Fingerprints()
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		fmt.Fprintf(h, "%s %s\n", name, parts[name])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Fingerprints are those of each table's flags, sets and chains, by names
// such as "inet", "inet set servers_ip4" and "netdev chain fence_2".
func (l Listing) Fingerprints() map[string]string {
	parts := map[string]string{}
	add := func(name string, write func(hash.Hash)) {
		h := sha256.New()
		write(h)
		parts[name] = hex.EncodeToString(h.Sum(nil))
	}
	for _, t := range l.Tables {
		add(string(t.Family), func(h hash.Hash) { fmt.Fprintf(h, "%s %t\n", t.Name, t.Dormant) })
		for _, s := range t.Sets {
			add(fmt.Sprintf("%s set %s", t.Family, s.Name), func(h hash.Hash) { fmt.Fprintf(h, "%d %d %x\n", s.flags, s.Len, s.keys) })
		}
		for _, c := range t.Chains {
			add(fmt.Sprintf("%s chain %s", t.Family, c.Name), c.digest)
		}
	}
	return parts
}

// Has reports whether the kernel has a chain of this name.
func (l Listing) Has(f rules.Family, chain string) bool {
	t, ok := l.table(f)
	return ok && slices.ContainsFunc(t.Chains, func(c Chain) bool { return c.Name == chain })
}

func (c Chain) digest(h hash.Hash) {
	fmt.Fprintf(h, "chain %s %s %s %q %d %s\n", c.Name, c.Type, c.Hook, c.Device, c.Priority, c.Policy)
	for _, r := range c.Rules {
		fmt.Fprintf(h, "%q %x\n", r.Comment, r.exprs)
	}
}

// Compare reports what of the ruleset is missing, extra or different, by
// hooks, policies, rule comments and numbers of elements. An empty result
// means that the kernel has the ruleset's shape; see Fingerprint for the rest.
func (l Listing) Compare(rs rules.Ruleset) []string {
	var drift []string
	for _, want := range rs.Tables {
		have, ok := l.table(want.Family)
		if !ok {
			drift = append(drift, fmt.Sprintf("table %s %s is missing", want.Family, want.Name))
			continue
		}
		drift = append(drift, have.compare(want)...)
	}
	for _, have := range l.Tables {
		if _, ok := rs.Table(have.Family); !ok {
			drift = append(drift, fmt.Sprintf("table %s %s is not ours to have now", have.Family, have.Name))
		}
	}
	return drift
}

func (t Table) compare(want rules.Table) []string {
	var drift []string
	report := func(format string, args ...any) {
		drift = append(drift, fmt.Sprintf("table %s %s: ", t.Family, t.Name)+fmt.Sprintf(format, args...))
	}
	if t.Dormant {
		report("is dormant: it decides on nothing")
	}
	sets := map[string]int{}
	for _, s := range t.Sets {
		sets[s.Name] = s.Len
	}
	for _, s := range want.Sets {
		if n, ok := sets[s.Name]; !ok || n != s.Len() {
			report("set %q has %d elements, not %d", s.Name, n, s.Len())
		}
		delete(sets, s.Name)
	}
	for name := range sets {
		report("set %q is not ours", name)
	}
	chains := map[string]Chain{}
	for _, c := range t.Chains {
		chains[c.Name] = c
	}
	for _, w := range want.Chains {
		c, ok := chains[w.Name]
		delete(chains, w.Name)
		switch {
		case !ok:
			report("chain %q is missing", w.Name)
		case c.Type != string(nftables.ChainTypeFilter) || c.Hook != w.Hook || c.Device != w.Device || c.Priority != w.Priority || c.Policy != w.Policy:
			report("chain %q is %s at %s %q priority %d policy %s, not filter at %s %q priority %d policy %s", w.Name,
				c.Type, c.Hook, c.Device, c.Priority, c.Policy, w.Hook, w.Device, w.Priority, w.Policy)
		default:
			if why := compareRules(c.Rules, w.Rules); why != "" {
				report("chain %q: %s", w.Name, why)
			}
		}
	}
	for name := range chains {
		report("chain %q is not ours", name)
	}
	return drift
}

// compareRules names the first difference.
func compareRules(have []Rule, want []rules.Rule) string {
	for i := range max(len(have), len(want)) {
		switch {
		case i >= len(have):
			return fmt.Sprintf("rule %q is missing", want[i].ID)
		case i >= len(want):
			return fmt.Sprintf("rule %d %q is not ours", i+1, have[i].Comment)
		case have[i].Comment != want[i].Comment():
			return fmt.Sprintf("rule %d is %q, not %q", i+1, have[i].Comment, want[i].ID)
		}
	}
	return ""
}

func (l Listing) table(f rules.Family) (Table, bool) {
	for _, t := range l.Tables {
		if t.Family == f {
			return t, true
		}
	}
	return Table{}, false
}

func (t Table) family() nftables.TableFamily {
	if t.Family == rules.Netdev {
		return nftables.TableFamilyNetdev
	}
	return nftables.TableFamilyINet
}

func (t Table) handle() *nftables.Table {
	return &nftables.Table{Family: t.family(), Name: t.Name}
}

func familyOf(t lower.Table) rules.Family {
	if t.Family == nftables.TableFamilyNetdev {
		return rules.Netdev
	}
	return rules.Inet
}

func hookName(f nftables.TableFamily, num uint32) rules.Hook {
	if f == nftables.TableFamilyNetdev {
		if num == unix.NF_NETDEV_EGRESS {
			return rules.Egress
		}
		return "ingress"
	}
	names := map[uint32]rules.Hook{
		unix.NF_INET_PRE_ROUTING: rules.Prerouting, unix.NF_INET_LOCAL_IN: rules.Input,
		unix.NF_INET_FORWARD: rules.Forward, unix.NF_INET_LOCAL_OUT: rules.Output,
		unix.NF_INET_POST_ROUTING: "postrouting",
	}
	return names[num]
}
