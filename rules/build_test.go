package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

func TestEveryRuleHasItsIDAndReason(t *testing.T) {
	w := newWorld(t)
	all := []rules.Policy{full(), allowing(), split(), lock(), {}, awkward()}
	for range walks {
		all = append(all, w.policy())
	}
	for _, p := range all {
		if bad := faults(build(t, p)); len(bad) > 0 {
			t.Fatalf("%s\n%+v", strings.Join(bad, "\n"), p)
		}
	}
}

// awkward has names that run into each other when they are joined.
func awkward() rules.Policy {
	return rules.Policy{
		LAN: true,
		Tunnels: []rules.Tunnel{
			{Name: "tcp"}, {Name: "udp"}, {Name: "a", Resolvers: addrs("10.8.0.1")}, {Name: "a-ip4"}, {Name: "b-a"},
			{Name: "123456789012345", Resolvers: addrs("10.8.0.1", "fd00::1")},
		},
		Guests:  []string{"br", "br-x", "x-br", "br-x-br", "543210987654321"},
		AllowIn: []rules.Service{{Proto: endpoint.TCP, First: 1, Last: 2}, {Proto: endpoint.TCP, First: 1, Last: 2}, {Proto: endpoint.TCP, First: 1, Last: 1}},
		Carriers: []rules.Carrier{
			{Owner: rules.Owner{UIDs: []uint32{7, 7, 4294967294}}, Endpoints: endpoints("203.0.113.10:1/udp", "203.0.113.10:1/udp")},
			{Owner: rules.Owner{UIDs: []uint32{4294967294, 7}}, Endpoints: endpoints("203.0.113.10:1/udp")},
		},
	}
}

func TestFaultsOfARulesetAreSeen(t *testing.T) {
	for want, c := range map[string]rules.Rule{
		"twice":       {ID: "x", Why: "why"},
		"no id":       {Why: "why"},
		"no reason":   {ID: "y"},
		"is cut":      {ID: "z", Why: strings.Repeat("w", 125)},
		"quote":       {ID: "q", Why: `say "no"`},
		"colon in id": {ID: "a: b", Why: "why"},
	} {
		rs := rules.Ruleset{Tables: []rules.Table{{Chains: []rules.Chain{{Rules: []rules.Rule{{ID: "x", Why: "why"}, c}}}}}}
		if bad := faults(rs); len(bad) != 1 || !strings.Contains(bad[0], want) {
			t.Errorf("%+v: %q, want one fault with %q", c, bad, want)
		}
	}
}

func faults(rs rules.Ruleset) []string {
	var bad []string
	for _, table := range rs.Tables {
		for _, c := range table.Chains {
			seen := map[string]bool{}
			for _, r := range c.Rules {
				where := c.Name + " " + r.ID + ": "
				switch {
				case r.ID == "":
					bad = append(bad, where+"no id")
				case seen[r.ID]:
					bad = append(bad, where+"twice in its chain")
				case strings.TrimSpace(r.Why) == "":
					bad = append(bad, where+"no reason")
				case strings.ContainsAny(r.Comment(), "\"\\\n") || strings.ContainsFunc(r.Comment(), func(c rune) bool { return c > '~' }):
					bad = append(bad, where+"a quote, backslash or other character that nft's text has no form for")
				case strings.Contains(r.ID, ": "):
					bad = append(bad, where+"colon in id")
				case r.Comment() != r.ID+": "+r.Why || len(r.Comment()) > 127:
					bad = append(bad, where+"comment is cut")
				}
				seen[r.ID] = true
			}
		}
	}
	return bad
}

func TestCommentIsCutAtWhatTheKernelTakes(t *testing.T) {
	r := rules.Rule{ID: "id", Why: strings.Repeat("w", 200)}
	if got := r.Comment(); len(got) != 127 || !strings.HasPrefix(got, "id: www") {
		t.Errorf("comment of %d bytes: %q", len(got), got)
	}
}

func TestBuildDoesNotDependOnTheOrderOfParts(t *testing.T) {
	w := newWorld(t)
	shuffled := 0
	for i := range walks {
		p := w.policy()
		if i == 0 {
			p = awkward()
		}
		q := shuffle(w.Rand, p)
		one, two := build(t, p), build(t, q)
		if diff := cmp.Diff(strings.Split(one.Text(), "\n"), strings.Split(two.Text(), "\n")); diff != "" {
			t.Fatalf("the order of parts matters:\n%s\n%+v\n%+v", diff, p, q)
		}
		if fmt.Sprint(p) != fmt.Sprint(q) {
			shuffled++
		}
	}
	if shuffled < walks/4 {
		t.Errorf("only %d of %d policies were shuffled", shuffled, walks)
	}
}

func TestBuildLeavesThePolicyAlone(t *testing.T) {
	w := newWorld(t)
	for range walks {
		p := w.policy()
		before := fmt.Sprint(p)
		build(t, p)
		if after := fmt.Sprint(p); after != before {
			t.Fatalf("Build changed its argument:\nwas: %s\nis:  %s", before, after)
		}
	}
}

func shuffle(r *rand.Rand, p rules.Policy) rules.Policy {
	p.Tunnels, p.Carriers = mixed(r, p.Tunnels), mixed(r, p.Carriers)
	p.Wires, p.AllowIn, p.Guests = mixed(r, p.Wires), mixed(r, p.AllowIn), mixed(r, p.Guests)
	for i := range p.Tunnels {
		t := &p.Tunnels[i]
		t.Addresses, t.Prefixes, t.Resolvers = mixed(r, t.Addresses), mixed(r, t.Prefixes), mixed(r, t.Resolvers)
	}
	for i := range p.Carriers {
		c := &p.Carriers[i]
		c.Endpoints, c.Owner.UIDs = mixed(r, c.Endpoints), mixed(r, c.Owner.UIDs)
	}
	return p
}

func mixed[T any](r *rand.Rand, list []T) []T {
	out := slices.Clone(list)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
