package lower

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"

	"github.com/vpnguard/vpnguard/rules"
)

// Masquerade converts the table of a tunnel's server role, which must be valid.
func Masquerade(m rules.Masquerade) (Table, error) {
	var ids uint32
	t, err := lowerTable(rules.Table{Family: rules.Inet, Name: rules.MasqueradeTable, Chains: []rules.Chain{m.Shadow()}}, &ids)
	if err != nil {
		return Table{}, fmt.Errorf("lower table %s: %w", rules.MasqueradeTable, err)
	}
	if len(m.Inside) == 0 {
		return t, nil
	}
	policy := nftables.ChainPolicyAccept
	c := Chain{Chain: &nftables.Chain{
		Name: "sources", Table: t.Table, Type: nftables.ChainTypeNAT, Policy: &policy,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
	}}
	for _, r := range m.Translations() {
		w := writer{table: t.Table, ids: &ids}
		for _, x := range r.Matches {
			if err := w.match(x); err != nil {
				return Table{}, fmt.Errorf("lower rule %q: %w", r.Why, err)
			}
		}
		w.put(&expr.Counter{})
		w.masquerade(r.Ports)
		c.Rules = append(c.Rules, Rule{
			Rule: &nftables.Rule{Table: t.Table, Chain: c.Chain, Exprs: w.exprs, UserData: userdata.AppendString(nil, userdata.TypeComment, r.Why)},
			Sets: w.sets,
		})
	}
	t.Chains = append(t.Chains, c)
	return t, nil
}

// masquerade takes the ports from the registers behind each other.
func (w *writer) masquerade(ports rules.PortRange) {
	if ports == (rules.PortRange{}) {
		w.put(&expr.Masq{})
		return
	}
	w.put(&expr.Immediate{Register: reg, Data: be16(ports.First)}, &expr.Immediate{Register: reg + 1, Data: be16(ports.Last)},
		&expr.Masq{ToPorts: true, RegProtoMin: reg, RegProtoMax: reg + 1})
}
