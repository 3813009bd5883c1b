package main

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/hook"
)

// Two who set the same resolvers would fight: each client's own way counts,
// unless the user gives resolvers or says how.
func TestResolversAreSetByOneOnly(t *testing.T) {
	told := []netip.Addr{netip.MustParseAddr("10.8.0.1")}
	for _, client := range hook.Clients() {
		byItself := client != "openvpn" && client != "strongswan" && client != "tinc"
		for _, c := range []struct {
			name   string
			conf   config.Config
			told   []netip.Addr
			byHook bool
			want   guard.Naming
		}{
			{"told by the client", config.Config{}, told, true, map[bool]guard.Naming{true: guard.NamingClient, false: guard.NamingAuto}[byItself]},
			{"told by nobody or the configuration", config.Config{}, nil, true, guard.NamingAuto},
			{"given by --dns", config.Config{}, told, false, guard.NamingAuto},
			{"off", config.Config{Naming: config.NamingOff}, told, true, guard.NamingOff},
			{"a way is given", config.Config{Naming: config.NamingFile}, told, true, "file"},
		} {
			var r guard.Request
			if err := names(&r, hook.Call{Client: client, Resolvers: c.told}, c.conf, nil, c.byHook); err != nil || r.Naming != c.want {
				t.Errorf("%s, %s: %q, want %q; %v", client, c.name, r.Naming, c.want, err)
			}
		}
	}
}

func TestResolversThatAClientTellsNobodyAreOurs(t *testing.T) {
	for _, c := range []struct {
		client string
		owner  dns.Owner
		err    error
		was    guard.Naming
		want   guard.Naming
	}{
		{"pppd", dns.Resolved, nil, guard.NamingClient, guard.NamingAuto},
		{"pppd", dns.Resolved, nil, guard.NamingOff, guard.NamingOff},
		{"pppd", dns.File, nil, guard.NamingClient, guard.NamingClient},
		{"pppd", "", dns.ErrNoOwner, guard.NamingClient, guard.NamingClient},
		{"vpnc", dns.Resolved, nil, guard.NamingClient, guard.NamingClient},
	} {
		if got := ourNaming(c.was, c.client, func(dns.Owner) (dns.Owner, error) { return c.owner, c.err }); got != c.want {
			t.Errorf("%s beside %s: %q, want %q", c.client, c.owner, got, c.want)
		}
	}
}

func TestDomainWithATildeIsNotSearched(t *testing.T) {
	var r guard.Request
	call := hook.Call{Client: "openvpn", RouteDomains: []string{"pushed.example"}}
	if err := names(&r, call, config.Config{}, []string{"Corp.example.", "~b.example"}, false); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Domains, []string{"corp.example"}) || !slices.Equal(r.RouteDomains, []string{"pushed.example", "b.example"}) {
		t.Errorf("searched %q, asked for %q", r.Domains, r.RouteDomains)
	}
	for _, bad := range []string{"~", "", "~~a.example", "a b", "a`id`"} {
		if err := names(&r, call, config.Config{}, []string{bad}, false); err == nil {
			t.Errorf("domain %q is taken", bad)
		}
	}
}
