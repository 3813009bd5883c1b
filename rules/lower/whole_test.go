package lower_test

import (
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/rules/lower"
)

// whole is a ruleset with every part, in either profile.
func whole(t *testing.T, p rules.Profile) ([]lower.Table, rules.Ruleset) {
	t.Helper()
	four, _ := endpoint.Parse("203.0.113.10:1194/udp")
	six, _ := endpoint.Parse("[2001:db8::1]:443/tcp")
	rs, err := rules.Build(rules.Policy{
		Profile:  p,
		Tunnels:  []rules.Tunnel{{Name: "tun0", Addresses: []netip.Addr{netip.MustParseAddr("10.8.0.2")}, Prefixes: prefixes("10.8.0.0/24", "fd00::/8")}},
		Carriers: []rules.Carrier{{Owner: rules.Owner{UIDs: []uint32{0}}, Endpoints: []endpoint.Endpoint{four, six}}},
		Wires:    []rules.Wire{{Name: "eth0", Index: 2}, {Name: "wlan0", Index: 3}},
		LAN:      true,
		AllowIn:  []rules.Service{{Proto: endpoint.TCP, First: 22, Last: 22}},
		Guests:   []string{"docker0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	tables, err := lower.Lower(rs)
	if err != nil {
		t.Fatal(err)
	}
	return tables, rs
}

func TestChainsKeepTheirPlaceAndHaveAPolicy(t *testing.T) {
	for _, profile := range []rules.Profile{rules.Full, rules.Split} {
		tables, rs := whole(t, profile)
		for i, table := range tables {
			for j, c := range table.Chains {
				want := rs.Tables[i].Chains[j]
				// Without a policy the kernel accepts.
				if c.Policy == nil {
					t.Fatalf("chain %q has no policy", c.Name)
				}
				if (*c.Policy == nftables.ChainPolicyAccept) != (want.Policy == rules.Accept) {
					t.Errorf("chain %q: policy %v, want %s", c.Name, *c.Policy, want.Policy)
				}
				if c.Hooknum == nil || c.Priority == nil || int(*c.Priority) != want.Priority || c.Device != want.Device || c.Type != nftables.ChainTypeFilter {
					t.Errorf("chain %q is at %v %v %q", c.Name, c.Hooknum, c.Priority, c.Device)
				}
				if len(c.Rules) != len(want.Rules) {
					t.Errorf("chain %q has %d rules, want %d", c.Name, len(c.Rules), len(want.Rules))
				}
			}
		}
	}
}

// A policy cannot reject: whatever is not accept drops.
func TestOnlyAcceptMakesAnAcceptingPolicy(t *testing.T) {
	for _, v := range []rules.Verdict{rules.Drop, rules.RejectTCP, rules.RejectOther} {
		rs := rulesetOf()
		rs.Tables[0].Chains[0].Policy = v
		tables, err := lower.Lower(rs)
		if err != nil || *tables[0].Chains[0].Policy != nftables.ChainPolicyDrop {
			t.Errorf("%s: %v", v, err)
		}
	}
}

func TestSetIDsAreUniqueInATransaction(t *testing.T) {
	tables, _ := whole(t, rules.Full)
	seen := map[uint32]string{}
	add := func(s lower.Set) {
		if was, ok := seen[s.ID]; ok || s.ID == 0 {
			t.Errorf("set %q has id %d, which is %q", s.Name, s.ID, was)
		}
		seen[s.ID] = s.Name
	}
	named := map[*nftables.Table]map[string]uint32{}
	for _, table := range tables {
		named[table.Table] = map[string]uint32{}
		for _, s := range table.Sets {
			add(s)
			named[table.Table][s.Name] = s.ID
		}
		for _, c := range table.Chains {
			for _, r := range c.Rules {
				ids := map[uint32]bool{}
				for _, s := range r.Sets {
					add(s)
					ids[s.ID] = true
				}
				for _, e := range r.Exprs {
					if l, ok := e.(*expr.Lookup); ok && !ids[l.SetID] && named[table.Table][l.SetName] != l.SetID {
						t.Errorf("chain %q looks up set %q with id %d, which is neither its rule's nor its table's", c.Name, l.SetName, l.SetID)
					}
				}
			}
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d sets", len(seen))
	}
}
