package hook_test

import (
	"fmt"
	"testing"

	"github.com/vpnguard/vpnguard/hook"
)

func TestRoutesAreThoseIntoTheTunnel(t *testing.T) {
	gateways := []string{"route_net_gateway=198.51.100.1", "route_vpn_gateway=10.8.0.1", "net_gateway_ipv6=2001:db8:c::1"}
	tests := []struct {
		name    string
		changes []string
		want    string
	}{
		{"network", []string{"route_network_1=192.0.2.0", "route_netmask_1=255.255.255.0", "route_gateway_1=10.8.0.1"}, "[192.0.2.0/24]"},
		{"host bits go", []string{"route_network_1=192.0.2.77", "route_netmask_1=255.255.255.0"}, "[192.0.2.0/24]"},
		{"peer's host route", []string{"route_network_1=203.0.113.5", "route_netmask_1=255.255.255.255"}, "[]"},
		{"network around the peer", []string{"route_network_1=203.0.113.0", "route_netmask_1=255.255.255.0"}, "[203.0.113.0/24]"},
		{"old gateway", []string{"route_network_1=192.0.2.0", "route_netmask_1=255.255.255.0", "route_gateway_1=198.51.100.1"}, "[]"},
		{"gateways alike", []string{"route_network_1=192.0.2.0", "route_netmask_1=255.255.255.0", "route_gateway_1=198.51.100.1", "route_vpn_gateway=198.51.100.1"}, "[192.0.2.0/24]"},
		{"bad gateway", []string{"route_network_1=192.0.2.0", "route_netmask_1=255.255.255.0", "route_gateway_1=$(id)"}, "[192.0.2.0/24]"},
		{"default route", []string{"route_network_1=0.0.0.0", "route_netmask_1=0.0.0.0"}, "[0.0.0.0/0]"},
		{"old gateway 6", []string{"route_ipv6_network_1=2001:db8:1::/48", "route_ipv6_gateway_1=2001:db8:c::1"}, "[]"},
		{"tunnel gateway 6", []string{"route_ipv6_network_1=2001:db8:1::/48", "route_ipv6_gateway_1=2001:db8:8::1"}, "[2001:db8:1::/48]"},
		{"both families, duplicates", []string{
			"route_network_1=192.0.2.0", "route_netmask_1=255.255.255.0", "route_ipv6_network_1=2000::/3",
			"route_network_7=192.0.2.0", "route_netmask_7=255.255.255.0", "route_ipv6_network_3=2000::/3"}, "[192.0.2.0/24 2000::/3]"},
	}
	for _, tt := range tests {
		c, err := hook.Parse(hook.CommandUp, env(append(gateways, tt.changes...)...), nil, hook.Parent{})
		if got := fmt.Sprint(c.Routes); err != nil || got != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestRedirectIsNoneOnlyIfSaidAndTrue(t *testing.T) {
	route := func(n int, network, mask string) []string {
		return []string{fmt.Sprintf("route_network_%d=%s", n, network), fmt.Sprintf("route_netmask_%d=%s", n, mask)}
	}
	halves := append(route(1, "128.0.0.0", "128.0.0.0"), route(2, "0.0.0.0", "128.0.0.0")...)
	holed := append(route(1, "128.0.0.0", "128.0.0.0"), route(2, "0.0.0.0", "192.0.0.0")...)
	tests := []struct {
		name    string
		changes []string
		want    hook.Redirect
	}{
		{"not said", nil, hook.RedirectUnknown},
		{"said", []string{"redirect_gateway=1"}, hook.RedirectAll},
		{"denied", []string{"redirect_gateway=0"}, hook.RedirectNone},
		{"denied but pushed as halves", append(halves, "redirect_gateway=0"), hook.RedirectAll},
		{"not said but pushed as halves", halves, hook.RedirectAll},
		{"denied, a quarter missing", append(holed, "redirect_gateway=0"), hook.RedirectNone},
		{"denied but all of IPv6", []string{"route_ipv6_network_1=::/1", "route_ipv6_network_2=8000::/1", "redirect_gateway=0"}, hook.RedirectAll},
		{"denied, half of each family", append(route(1, "128.0.0.0", "128.0.0.0"), "route_ipv6_network_1=::/1", "redirect_gateway=0"), hook.RedirectNone},
		{"overlapping", append(halves, "route_network_3=10.0.0.0", "route_netmask_3=255.0.0.0", "redirect_gateway=0"), hook.RedirectAll},
	}
	for _, tt := range tests {
		c, err := hook.Parse(hook.CommandUp, env(tt.changes...), nil, hook.Parent{})
		if err != nil || c.Redirect != tt.want {
			t.Errorf("%s: %v, %v, want %v", tt.name, c.Redirect, err, tt.want)
		}
	}
}
