package hook_test

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/hook"
)

const (
	lower = "abcdefghijklmnopqrstuvwxyz"
	digit = "0123456789"
)

// checkCall holds for every Call without error, whatever the input was.
func checkCall(t *testing.T, c hook.Call) {
	t.Helper()
	only := func(field, value, alphabet string) {
		if strings.Trim(value, alphabet) != "" {
			t.Errorf("%s %q holds bytes outside %q", field, value, alphabet)
		}
	}
	name := func(field, value string) {
		only(field, value, lower+digit+"-_.:")
		if got, err := endpoint.ParseHost(value); err != nil || got != value {
			t.Errorf("%s %q does not parse to itself: %q, %v", field, value, got, err)
		}
	}
	if !slices.Contains(hook.Clients(), c.Client) {
		t.Errorf("client %q", c.Client)
	}
	if c.Cause != "UNKNOWN" {
		only("cause", c.Cause, lower+digit+"-_")
	}
	if c.Dev != "" {
		if _, err := endpoint.ParseIfName(c.Dev); err != nil {
			t.Error(err)
		}
	} else if (c.Event == hook.EventUp || c.Event == hook.EventRoutes) && c.Client != "strongswan" && c.Client != "wg-quick" {
		t.Errorf("%v without a device", c.Event)
	}
	if strings.ContainsFunc(c.ConfigFile, unicode.IsControl) || len(c.ConfigFile) > 4095 {
		t.Errorf("config file %q", c.ConfigFile)
	}
	if c.PID < 0 || c.PID > 1<<22 || c.MTU < 0 || c.MTU > 65535 {
		t.Errorf("pid %d, mtu %d", c.PID, c.MTU)
	}
	if c.Peer.IsValid() && (endpoint.CheckAddr(c.Peer.Addr()) != nil || c.Peer.Port() == 0) {
		t.Errorf("peer %v", c.Peer)
	}
	for _, list := range [][]hook.Remote{c.Remotes, c.Proxies} {
		for _, m := range list {
			if m == (hook.Remote{}) {
				continue // a proxy's place
			}
			name("host", m.Host)
			if m.Port == 0 || m.Proto.String() == "invalid" {
				t.Errorf("remote %+v", m)
			}
		}
	}
	if c.Proxies != nil && len(c.Proxies) != len(c.Remotes) {
		t.Errorf("%d proxies for %d remotes", len(c.Proxies), len(c.Remotes))
	}
	for _, d := range append(append([]string{}, c.SearchDomains...), c.RouteDomains...) {
		name("domain", d)
	}
	for _, a := range c.Resolvers {
		if endpoint.CheckAddr(a) != nil || a.Is4In6() {
			t.Errorf("resolver %v", a)
		}
	}
	for _, p := range c.Addresses {
		if !p.IsValid() || p.Bits() == 0 || endpoint.CheckAddr(p.Addr()) != nil {
			t.Errorf("address %v", p)
		}
	}
	for _, p := range c.Routes {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			t.Errorf("route %v", p)
		}
		if p.IsSingleIP() && p.Addr() == c.Peer.Addr() {
			t.Errorf("route %v leads to the peer itself", p)
		}
	}
	for _, e := range c.Carriers() {
		if !e.IsValid() {
			t.Errorf("carrier %v", e)
		}
		if got, err := endpoint.Parse(e.String()); err != nil || got != e {
			t.Errorf("carrier %v does not round-trip: %v, %v", e, got, err)
		}
	}
	for _, m := range c.Names() {
		name("name", m.Host)
	}
	if len(c.Resolvers) > 64 || len(c.SearchDomains) > 256 || len(c.RouteDomains) > 256 ||
		len(c.Routes) > 4096 || len(c.Remotes) > 1024 || len(c.Addresses) > 128 {
		t.Error("more values than the limits allow")
	}
	unique(t, "resolvers", c.Resolvers)
	unique(t, "search domains", c.SearchDomains)
	unique(t, "routes", c.Routes)
	unique(t, "carriers", c.Carriers())
	if c.Server.IsValid() && endpoint.CheckAddr(c.Server) != nil {
		t.Errorf("server %v", c.Server)
	}
	if c.Client != "openvpn" {
		return
	}
	if again, err := hook.Parse(hook.CommandUp, environOf(c), nil, hook.Parent{}); err != nil {
		t.Errorf("the call does not parse again: %v", err)
	} else if diff := cmp.Diff(plain(c), plain(again), byValue); diff != "" {
		t.Errorf("the call does not round-trip (-want +got):\n%s", diff)
	}
}

func unique[T comparable](t *testing.T, what string, list []T) {
	t.Helper()
	seen := map[T]bool{}
	for _, v := range list {
		if seen[v] {
			t.Errorf("%s hold %v twice", what, v)
		}
		seen[v] = true
	}
}
