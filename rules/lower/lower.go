// Package lower turns a ruleset value into the objects of
// github.com/google/nftables. It is pure: it never opens a connection.
//
// Whatever it makes, the system's nft lists as it lists the ruleset's text.
package lower

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
)

// Table is one table and all that it holds, in the order in which the
// kernel must get it.
type Table struct {
	*nftables.Table
	Sets   []Set
	Chains []Chain
}

// Set is a set and its elements. Anonymous sets belong to a rule.
type Set struct {
	*nftables.Set
	Elements []nftables.SetElement
}

// Chain is a base chain and its rules.
type Chain struct {
	*nftables.Chain
	Rules []Rule
}

// Rule is a rule and the anonymous sets that it looks values up in; they
// must be added before it.
type Rule struct {
	*nftables.Rule
	Sets []Set
}

// Lower converts the whole ruleset. Set ids are unique within the result,
// which is therefore one transaction's worth.
func Lower(rs rules.Ruleset) ([]Table, error) {
	var ids uint32
	tables := make([]Table, 0, len(rs.Tables))
	for _, t := range rs.Tables {
		lt, err := lowerTable(t, &ids)
		if err != nil {
			return nil, fmt.Errorf("lower table %s %s: %w", t.Family, t.Name, err)
		}
		tables = append(tables, lt)
	}
	return tables, nil
}

// Family is the kernel's number of a table family.
func Family(f rules.Family) nftables.TableFamily {
	if f == rules.Netdev {
		return nftables.TableFamilyNetdev
	}
	return nftables.TableFamilyINet
}

func lowerTable(t rules.Table, ids *uint32) (Table, error) {
	out := Table{Table: &nftables.Table{Family: Family(t.Family), Name: t.Name}}
	named := map[string]*nftables.Set{}
	for _, s := range t.Sets {
		ls, err := namedSet(out.Table, s, ids)
		if err != nil {
			return Table{}, err
		}
		named[s.Name] = ls.Set
		out.Sets = append(out.Sets, ls)
	}
	for _, c := range t.Chains {
		lc, err := lowerChain(out.Table, c, named, ids)
		if err != nil {
			return Table{}, fmt.Errorf("chain %q: %w", c.Name, err)
		}
		out.Chains = append(out.Chains, lc)
	}
	return out, nil
}

// hooks holds the kernel's numbers; a netdev hook's are its own (enum nf_dev_hooks).
var hooks = map[rules.Hook]nftables.ChainHook{
	rules.Prerouting: unix.NF_INET_PRE_ROUTING,
	rules.Input:      unix.NF_INET_LOCAL_IN,
	rules.Forward:    unix.NF_INET_FORWARD,
	rules.Output:     unix.NF_INET_LOCAL_OUT,
	rules.Egress:     unix.NF_NETDEV_EGRESS,
}

func lowerChain(t *nftables.Table, c rules.Chain, named map[string]*nftables.Set, ids *uint32) (Chain, error) {
	hook, ok := hooks[c.Hook]
	if !ok {
		return Chain{}, fmt.Errorf("unknown hook %q", c.Hook)
	}
	// A nil policy means accept in the kernel, so it is always given.
	policy := nftables.ChainPolicyDrop
	if c.Policy == rules.Accept {
		policy = nftables.ChainPolicyAccept
	}
	out := Chain{Chain: &nftables.Chain{
		Name: c.Name, Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: &hook, Priority: nftables.ChainPriorityRef(nftables.ChainPriority(c.Priority)),
		Policy: &policy, Device: c.Device,
	}}
	for _, r := range c.Rules {
		w := writer{table: t, named: named, ids: ids}
		for _, m := range r.Matches {
			if err := w.match(m); err != nil {
				return Chain{}, fmt.Errorf("rule %q: %w", r.ID, err)
			}
		}
		w.put(&expr.Counter{})
		if c.Logs(r) {
			w.put(&expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX, Group: rules.LogGroup, Data: []byte(r.LogPrefix())})
		}
		w.verdict(r.Verdict)
		out.Rules = append(out.Rules, Rule{
			Rule: &nftables.Rule{
				Table: t, Chain: out.Chain, Exprs: w.exprs,
				UserData: userdata.AppendString(nil, userdata.TypeComment, r.Comment()),
			},
			Sets: w.sets,
		})
	}
	return out, nil
}

// Comment reads a rule's comment back from its user data; empty if it has none.
func Comment(data []byte) string {
	s, _ := userdata.GetString(data, userdata.TypeComment)
	return s
}
