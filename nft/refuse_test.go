//go:build faultpoints

package nft_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// plain is a policy whose rules are made with neither a fence nor a cgroup.
func plain() rules.Policy {
	p := policy()
	p.Wires = nil
	return p
}

func byCgroup() rules.Policy {
	p := plain()
	p.Carriers[0].Owner = rules.Owner{Cgroup: rules.Cgroup{Path: "a", Level: 1, ID: 1}}
	return p
}

// bare is a ruleset that asks no uid and has no set, no reject and no reverse path.
func bare() rules.Ruleset {
	return rules.Ruleset{Tables: []rules.Table{{Family: rules.Inet, Name: rules.TableName, Chains: []rules.Chain{
		{Name: "output", Hook: rules.Output, Rules: []rules.Rule{{ID: "x", Why: "y", Matches: []rules.Match{
			rules.Addr{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, Verdict: rules.Accept}}},
	}}}}
}

// A refused feature is reported, and stops a ruleset exactly if that is made with it.
func TestRefusedFeatureIsMissingWhereItIsNeeded(t *testing.T) {
	conn := open(t)
	rulesets := map[string]rules.Ruleset{
		"full": build(t, policy()), "plain": build(t, plain()), "cgroup": build(t, byCgroup()), "bare": bare(),
		"split": build(t, rules.Policy{Profile: rules.Split, Carriers: []rules.Carrier{{
			Owner:     rules.Owner{Mark: 1, Mask: 1},
			Endpoints: []endpoint.Endpoint{udpEndpoint("203.0.113.10", 1)},
		}}}),
	}
	needs := map[string]string{ // by which ruleset each feature is needed
		"inet":   "bare cgroup full plain split",
		"egress": "full",
		"fib":    "cgroup full plain split",
		"reject": "cgroup full plain split",
		"ct":     "cgroup full plain",
		"skuid":  "full plain",
		"sets":   "cgroup full plain split",
		"cgroup": "cgroup",
	}
	for token, by := range needs {
		t.Run(token, func(t *testing.T) {
			if err := conn.Remove(); err != nil {
				t.Fatal(err)
			}
			before := listed(t)
			t.Setenv("VPNGUARD_FAULT", "refuse:nft."+token+":EOPNOTSUPP")
			for _, s := range conn.Probe() {
				if (s.Token == token) != errors.Is(s.Err, unix.EOPNOTSUPP) || (s.Token != token && s.Err != nil) {
					t.Errorf("Probe %s: %v", s.Token, s.Err)
				}
			}
			for name, rs := range rulesets {
				needed := strings.Contains(" "+by+" ", " "+name+" ")
				_, err := conn.Replace(rs)
				if !needed {
					if err != nil {
						t.Errorf("%s needs no %s, but: %v", name, token, err)
					}
					if err := conn.Remove(); err != nil {
						t.Fatal(err)
					}
					continue
				}
				var unsupported *nft.UnsupportedError
				if !errors.As(err, &unsupported) || !errors.Is(err, unix.EOPNOTSUPP) {
					t.Errorf("%s needs %s, but: %v", name, token, err)
					continue
				}
				var missing []string
				for _, f := range unsupported.Missing {
					missing = append(missing, f.Token)
					if !strings.Contains(err.Error(), f.Name+" (Linux "+f.Since+", "+f.Module+")") {
						t.Errorf("the message does not name the part: %v", err)
					}
				}
				if diff := cmp.Diff([]string{token}, missing); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
				if now := listed(t); now != before {
					t.Errorf("%s was refused and changed:\n%s", name, now)
				}
			}
		})
	}
}

// The kernel refuses a ruleset for something else: the absence of what it is not made with is no reason.
func TestRefusedFeatureThatIsNotUsedIsNotBlamed(t *testing.T) {
	conn := open(t)
	rs := build(t, policy())
	rs.Tables[1].Chains[0].Hook = rules.Output // a netdev table has no such hook
	t.Setenv("VPNGUARD_FAULT", "refuse:nft.cgroup:EOPNOTSUPP")
	_, err := conn.Replace(rs)
	var unsupported *nft.UnsupportedError
	if err == nil || errors.As(err, &unsupported) {
		t.Errorf("error %v", err)
	}
}

func TestRefusedCommitChangesNothing(t *testing.T) {
	conn := open(t)
	if _, err := conn.Replace(build(t, policy())); err != nil {
		t.Fatal(err)
	}
	before := listed(t)
	t.Setenv("VPNGUARD_FAULT", "refuse:nft.commit:ENOBUFS")
	if _, err := conn.Replace(build(t, plain())); !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("Replace: %v", err)
	}
	if err := conn.Remove(); !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("Remove: %v", err)
	}
	t.Setenv("VPNGUARD_FAULT", "")
	if now := listed(t); now != before {
		t.Errorf("a refused commit changed:\n%s", now)
	}
	// What was refused must not go out with the next commit: Remove came last.
	have, err := conn.Replace(build(t, policy()))
	if err != nil || len(have.Tables) != 2 {
		t.Errorf("after the refusal: %d tables, %v", len(have.Tables), err)
	}
}
