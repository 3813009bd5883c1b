package main

import (
	"strings"
	"testing"
	"time"

	audithost "github.com/vpnguard/vpnguard/audit/host"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

func TestEachPeerHasItsLink(t *testing.T) {
	one, two := []audithost.Link{{Name: "eth0"}}, []audithost.Link{{Name: "eth0"}, {Name: "wlan0"}}
	for _, c := range []struct {
		peers []string
		links []audithost.Link
		want  string // "link=command ...", or the error
	}{
		{nil, one, ""},
		{[]string{"ssh gw witness"}, one, "eth0=ssh gw witness"},
		{[]string{"eth0=ssh gw witness"}, one, "eth0=ssh gw witness"},
		{[]string{"env A=b witness"}, one, "eth0=env A=b witness"},
		{[]string{"-"}, one, "eth0=-"},
		{[]string{"wlan0=a", "eth0=b"}, two, "eth0=b wlan0=a"},
		{[]string{"a"}, two, "this host has 2 links"},
		{[]string{"a", "b"}, one, "has a peer already"},
		{[]string{"eth0= "}, one, "no command"},
		{[]string{""}, one, "no command"},
	} {
		got, err := peersOf(c.peers, c.links)
		var parts []string
		for _, l := range c.links {
			if got[l.Name] != "" {
				parts = append(parts, l.Name+"="+got[l.Name])
			}
		}
		if err == nil && strings.Join(parts, " ") != c.want || err != nil && (c.want == "" || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %q, %v, want %q", c.peers, parts, err, c.want)
		}
	}
}

func TestAnAuditOfTheHostIsShort(t *testing.T) {
	for watch, ok := range map[time.Duration]bool{0: true, 5 * time.Second: true, 6 * time.Second: false, -1: false} {
		c := auditHostCommand{Watch: watch}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("--watch %s: %v", watch, err)
		}
	}
	if audithost.Limit >= 10*time.Second {
		t.Errorf("the limit is %s", audithost.Limit)
	}
}

func TestAnAllowedRangeIsDeclaredPortByPort(t *testing.T) {
	for _, c := range []struct {
		first, last uint16
		want        int
	}{{22, 22, 1}, {8000, 8009, 10}, {1, 65535, 0}, {65535, 65535, 1}} {
		if got := ports(rules.Service{Proto: endpoint.TCP, First: c.first, Last: c.last}); len(got) != c.want || c.want > 0 && (got[0].Port != c.first || got[0].Proto != 6) {
			t.Errorf("%d-%d: %v", c.first, c.last, got)
		}
	}
}
