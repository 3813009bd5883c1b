package hook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/hook"
)

func TestBadValueFailsUpAndNeverDown(t *testing.T) {
	long := strings.Repeat("a", 300)
	tests := []struct{ name, change, want string }{
		{"device missing", "dev", `hook value dev "": not set`},
		{"device empty", "dev=", `hook value dev "": empty interface name`},
		{"device long", "dev=tun0123456789012", `hook value dev "tun0123456789012": interface name "tun0123456789012": longer than 15 bytes`},
		{"device option", "dev=-all", `hook value dev "-all": interface name "-all": begins with a hyphen`},
		{"device quote", `dev=a"b`, `hook value dev "a\"b": interface name "a\"b": holds byte 0x22`},
		{"device star", "dev=tun*", `hook value dev "tun*": interface name "tun*": holds byte 0x2a`},
		{"device path", "dev=../x", `hook value dev "../x": interface name "../x": holds byte 0x2f`},
		{"device newline", "dev=a\nb", `hook value dev "a\nb": interface name "a\nb": holds byte 0x0a`},
		{"pid", "daemon_pid=0", `hook value daemon_pid "0": not a number from 1 to 4194304`},
		{"pid sign", "daemon_pid=+1", `hook value daemon_pid "+1": not a number from 1 to 4194304`},
		{"config", "config=a\x1b[2J", `hook value config "a\x1b[2J": not a file name`},
		{"mtu", "tun_mtu=67", `hook value tun_mtu "67": not a number from 68 to 65535`},
		{"peer name", "trusted_ip=vpn.example.net", `hook value trusted_ip "vpn.example.net": not an IP address`},
		{"peer family", "trusted_ip=2001:db8::1", `hook value trusted_ip "2001:db8::1": not an IPv4 address`},
		{"peer unspecified", "trusted_ip=0.0.0.0", `hook value trusted_ip "0.0.0.0": the unspecified address names no host`},
		{"peer loopback", "trusted_ip=127.0.0.1", `hook value trusted_ip "127.0.0.1": a loopback address is never on the wire`},
		{"peer multicast", "trusted_ip=224.0.0.1", `hook value trusted_ip "224.0.0.1": a multicast address names no host`},
		{"peer twice", "trusted_ip6=2001:db8::1", `hook value trusted_ip6 "2001:db8::1": trusted_ip is set too`},
		{"peer missing", "trusted_ip", `hook value trusted_ip "": not set`},
		{"port missing", "trusted_port", `hook value trusted_port "": not set beside trusted_ip`},
		{"port zero", "trusted_port=0", `hook value trusted_port "0": port is not a number from 1 to 65535`},
		{"port large", "trusted_port=65536", `hook value trusted_port "65536": port is not a number from 1 to 65535`},
		{"port octal", "trusted_port=01194", `hook value trusted_port "01194": port is not a number from 1 to 65535`},
		{"port name", "trusted_port=openvpn", `hook value trusted_port "openvpn": port is not a number from 1 to 65535`},
		{"remote loopback", "remote_1=::1", `hook value remote_1 "::1": a loopback address is never on the wire`},
		{"remote zone", "remote_1=fe80::1%eth0", `hook value remote_1 "fe80::1%eth0": an address with a zone names no host`},
		{"remote short address", "remote_1=127.1", `hook value remote_1 "127.1": domain name looks like an address`},
		{"remote shell", "remote_1=$(id)", `hook value remote_1 "$(id)": domain name holds byte 0x24`},
		{"remote port missing", "remote_port_1", `hook value remote_port_1 "": not set beside remote_1`},
		{"protocol", "proto_1=sctp", `hook value proto_1 "sctp": not a protocol of OpenVPN`},
		{"proxy port missing", "http_proxy_server_1=203.0.113.6", `hook value http_proxy_port_1 "": not set beside http_proxy_server_1`},
		{"address", "ifconfig_local=2001:db8::1", `hook value ifconfig_local "2001:db8::1": not an IPv4 address`},
		{"address 6", "ifconfig_ipv6_local=192.0.2.1", `hook value ifconfig_ipv6_local "192.0.2.1": not an IPv6 address`},
		{"dns6 with IPv4", "foreign_option_1=dhcp-option DNS6 192.0.2.1", `hook value foreign_option_1 "dhcp-option DNS6 192.0.2.1": not an IPv6 address`},
		{"dns name", "foreign_option_1=dhcp-option DNS ns.example.net", `hook value foreign_option_1 "dhcp-option DNS ns.example.net": not an IP address`},
		{"dns loopback", "foreign_option_1=dhcp-option DNS 127.0.0.53", `hook value foreign_option_1 "dhcp-option DNS 127.0.0.53": a loopback address is never on the wire`},
		{"dns without value", "foreign_option_1=dhcp-option DNS", `hook value foreign_option_1 "dhcp-option DNS": not an IP address`},
		{"dns two values", "foreign_option_1=dhcp-option DNS 192.0.2.1 192.0.2.2", `hook value foreign_option_1 "dhcp-option DNS 192.0.2.1 192.0.2.2": not an IP address`},
		{"domain shell", "foreign_option_1=dhcp-option DOMAIN a`id`b;reboot", "hook value foreign_option_1 \"dhcp-option DOMAIN a`id`b;reboot\": domain name holds byte 0x60"},
		{"domain path", "foreign_option_1=dhcp-option DOMAIN-SEARCH ../../etc/x", `hook value foreign_option_1 "dhcp-option DOMAIN-SEARCH ../../etc/x": domain name holds byte 0x2f`},
		{"domain dots", "foreign_option_1=dhcp-option DOMAIN a..b", `hook value foreign_option_1 "dhcp-option DOMAIN a..b": domain name has an empty label`},
		{"domain hyphen", "foreign_option_1=dhcp-option DOMAIN -a.b", `hook value foreign_option_1 "dhcp-option DOMAIN -a.b": domain name has a label with a hyphen at its end`},
		{"domain umlaut", "foreign_option_1=dhcp-option ADAPTER_DOMAIN_SUFFIX käse.example", `hook value foreign_option_1 "dhcp-option ADAPTER_DOMAIN_SUFFIX käse.example": domain name holds byte 0xc3`},
		{"domain space", "foreign_option_1=dhcp-option DOMAIN a b", `hook value foreign_option_1 "dhcp-option DOMAIN a b": domain name holds byte 0x20`},
		{"domain long", "dns_search_domain_1=" + long, `hook value dns_search_domain_1 "` + long[:80] + `": domain name longer than 253 bytes`},
		{"dns option", "dns_server_1_address_1=x", `hook value dns_server_1_address_1 "x": not an IP address`},
		{"dns option domain", "dns_server_1_resolve_domain_1=$(id)", `hook value dns_server_1_resolve_domain_1 "$(id)": domain name holds byte 0x24`},
		{"route without mask", "route_network_1=192.0.2.0", `hook value route_netmask_1 "": not set beside route_network_1`},
		{"route of IPv6", "route_network_1=2001:db8::", `hook value route_network_1 "2001:db8::": not an IPv4 network`},
		{"route 6", "route_ipv6_network_1=2001:db8::/129", `hook value route_ipv6_network_1 "2001:db8::/129": not an IPv6 prefix`},
		{"redirect", "redirect_gateway=yes", `hook value redirect_gateway "yes": not a number from 0 to 1`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := hook.Parse(hook.CommandUp, env(tt.change), nil, hook.Parent{})
			var bad *hook.ValueError
			if !errors.As(err, &bad) {
				t.Fatalf("error %v is no ValueError", err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("error differs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(hook.Call{Client: "openvpn", Event: hook.EventUp}, c, byValue); diff != "" {
				t.Errorf("the call holds values (-want +got):\n%s", diff)
			}
			for _, kind := range []string{"down", "tls-verify", "route-pre-down"} {
				c, err := hook.Parse(hook.CommandDown, env(tt.change, "script_type="+kind), nil, hook.Parent{})
				if err != nil {
					t.Errorf("%s fails: %v", kind, err)
				}
				checkCall(t, c)
			}
		})
	}
}

func TestPairsThatContradictAreRefused(t *testing.T) {
	tests := []struct {
		want    string
		changes []string
		args    string
	}{
		{`hook value socks_proxy_server_1 "203.0.113.7": http_proxy_server_1 is set too`, []string{
			"http_proxy_server_1=203.0.113.6", "http_proxy_port_1=3128",
			"socks_proxy_server_1=203.0.113.7", "socks_proxy_port_1=1080"}, ""},
		{`hook value ifconfig_netmask "255.0.255.0": netmask has a hole`, []string{
			"ifconfig_local=192.0.2.2", "ifconfig_netmask=255.0.255.0"}, ""},
		{`hook value ifconfig_netmask "0.0.0.0": a link of all addresses`, []string{
			"ifconfig_local=192.0.2.2", "ifconfig_netmask=0.0.0.0"}, ""},
		{`hook value ifconfig_ipv6_netbits "0": not a number from 1 to 128`, []string{
			"ifconfig_ipv6_local=2001:db8::2", "ifconfig_ipv6_netbits=0"}, ""},
		{`hook value route_netmask_1 "24": not a netmask`, []string{
			"route_network_1=192.0.2.0", "route_netmask_1=24"}, ""},
		{`hook value dev "tun0": another device than in the arguments`, nil,
			"tun1 1500 0 192.0.2.2 255.255.255.0 init"},
		{`hook value trusted_ip "": not set`, []string{
			"script_type=ipchange", "trusted_ip", "trusted_port"}, ""},
	}
	for _, tt := range tests {
		_, err := hook.Parse(hook.CommandUp, env(tt.changes...), strings.Fields(tt.args), hook.Parent{})
		if diff := cmp.Diff(tt.want, fmt.Sprint(err)); diff != "" {
			t.Errorf("error differs (-want +got):\n%s", diff)
		}
	}
}

func TestNumbersMayHaveGapsAndSortAsNumbers(t *testing.T) {
	c, err := hook.Parse(hook.CommandUp, env(
		"foreign_option_10=dhcp-option DNS 192.0.2.10",
		"foreign_option_2=dhcp-option DNS 192.0.2.2",
		"foreign_option_4=dhcp-option DNS 192.0.2.2", // a duplicate
		"foreign_option_02=dhcp-option DNS 192.0.2.99",
		"foreign_option_0=dhcp-option DNS 192.0.2.98",
		"foreign_option_x=dhcp-option DNS 192.0.2.97",
		"foreign_option_99999999999=dhcp-option DNS 192.0.2.96",
		"dns_server_2_address_1=192.0.2.20",
		"dns_server_1_address_10=192.0.2.19",
		"dns_server_1_address_9=192.0.2.18",
	), nil, hook.Parent{})
	if err != nil {
		t.Fatal(err)
	}
	want := "[192.0.2.2 192.0.2.10 192.0.2.18 192.0.2.19 192.0.2.20]"
	if got := fmt.Sprint(c.Resolvers); got != want {
		t.Errorf("resolvers %s, want %s", got, want)
	}
}

func TestFirstOfEqualKeysCounts(t *testing.T) {
	c, err := hook.Parse(hook.CommandUp, append(env(), "dev=tun1", "script_type=down"), nil, hook.Parent{})
	if err != nil || c.Dev != "tun0" || c.Event != hook.EventUp {
		t.Errorf("%v %q %v", c.Event, c.Dev, err)
	}
}

func TestUnusedOptionsChangeNothing(t *testing.T) {
	for _, option := range []string{
		"dhcp-option WINS $(id)", "dhcp-option NTP 192.0.2.1", "dhcp-option NBDD x", "dhcp-option NBT 2",
		"dhcp-option NBS `id`", "dhcp-option DISABLE-NBT", "dhcp-option PROXY_HTTP proxy.example 3128",
		"dhcp-option dns 192.0.2.1", "dhcp-option", "register-dns", "", "dhcp-option  DNS 192.0.2.1",
	} {
		c, err := hook.Parse(hook.CommandUp, env("foreign_option_1="+option), nil, hook.Parent{})
		if err != nil || c.Resolvers != nil || c.SearchDomains != nil {
			t.Errorf("%q: %v %v %v", option, c.Resolvers, c.SearchDomains, err)
		}
	}
}

func TestNamesAreNormalised(t *testing.T) {
	c, err := hook.Parse(hook.CommandUp, env(
		"foreign_option_1=dhcp-option DOMAIN Corp.Example.",
		"foreign_option_2=dhcp-option DOMAIN-SEARCH corp.example",
		"foreign_option_3=dhcp-option DNS ::ffff:192.0.2.1",
		"dns_search_domain_1=_x.CORP.example",
	), nil, hook.Parent{})
	if got := fmt.Sprint(c.SearchDomains, c.Resolvers, err); got != "[corp.example _x.corp.example] [192.0.2.1] <nil>" {
		t.Error(got)
	}
}

func TestTooManyValuesFailUpAndAreCutAtDown(t *testing.T) {
	tests := []struct {
		limit int
		line  func(i int) []string
		count func(hook.Call) int
	}{
		{64, func(i int) []string {
			return []string{fmt.Sprintf("foreign_option_%d=dhcp-option DNS 10.0.0.%d", i, i)}
		}, func(c hook.Call) int { return len(c.Resolvers) }},
		{256, func(i int) []string {
			return []string{fmt.Sprintf("dns_search_domain_%d=d%d.example", i, i)}
		}, func(c hook.Call) int { return len(c.SearchDomains) }},
		{256, func(i int) []string {
			return []string{fmt.Sprintf("dns_server_1_resolve_domain_%d=d%d.example", i, i)}
		}, func(c hook.Call) int { return len(c.RouteDomains) }},
		{4096, func(i int) []string {
			return []string{fmt.Sprintf("route_network_%d=10.%d.%d.0", i, i>>8, i&255), fmt.Sprintf("route_netmask_%d=255.255.255.0", i)}
		}, func(c hook.Call) int { return len(c.Routes) }},
		{1024, func(i int) []string {
			return []string{fmt.Sprintf("remote_%d=r%d.example", i, i), fmt.Sprintf("remote_port_%d=1194", i), fmt.Sprintf("proto_%d=udp", i)}
		}, func(c hook.Call) int { return len(c.Remotes) }},
	}
	for _, tt := range tests {
		environ := env("remote_1")
		for i := 1; i <= tt.limit; i++ {
			environ = append(environ, tt.line(i)...)
		}
		c, err := hook.Parse(hook.CommandUp, environ, nil, hook.Parent{})
		if err != nil || tt.count(c) != tt.limit {
			t.Errorf("limit %d: %d values, %v", tt.limit, tt.count(c), err)
		}
		environ = append(environ, tt.line(tt.limit+1)...)
		want := fmt.Sprintf("more than %d values", tt.limit)
		if _, err := hook.Parse(hook.CommandUp, environ, nil, hook.Parent{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("limit %d: error %v", tt.limit, err)
		}
		c, err = hook.Parse(hook.CommandDown, append([]string{"script_type=down"}, environ...), nil, hook.Parent{})
		if err != nil || tt.count(c) != tt.limit {
			t.Errorf("limit %d at down: %d values, %v", tt.limit, tt.count(c), err)
		}
	}
}
