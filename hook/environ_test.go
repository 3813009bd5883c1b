package hook_test

import (
	"fmt"
	"net/netip"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/hook"
)

// byValue compares addresses and prefixes with ==.
var byValue = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// plain leaves out what environOf cannot tell: it says `up`, or
// `tls-verify` without a device.
func plain(c hook.Call) hook.Call {
	c.Event, c.Cause = hook.EventIgnore, ""
	return c
}

// environOf is the environment that says what c says.
func environOf(c hook.Call) []string {
	env := []string{"script_type=up", "script_context=init"}
	set := func(key string, value any) { env = append(env, fmt.Sprintf("%s=%v", key, value)) }
	if c.Interim {
		env[1] = "script_context=restart"
	}
	switch {
	case c.Dev != "":
		set("dev", c.Dev)
	default:
		env[0] = "script_type=tls-verify" // the only kind that needs no device
	}
	if c.PID != 0 {
		set("daemon_pid", c.PID)
	}
	if c.ConfigFile != "" {
		set("config", c.ConfigFile)
	}
	if c.MTU != 0 {
		set("tun_mtu", c.MTU)
	}
	if c.Peer.IsValid() {
		key := "trusted_ip"
		if c.Peer.Addr().Is6() {
			key = "trusted_ip6"
		}
		set(key, c.Peer.Addr())
		set("trusted_port", c.Peer.Port())
	}
	for i, m := range c.Remotes {
		n := fmt.Sprint(i + 1)
		set("remote_"+n, m.Host)
		set("remote_port_"+n, m.Port)
		set("proto_"+n, m.Proto.String()+map[hook.Family]string{hook.IPv4: "4", hook.IPv6: "6"}[m.Family])
		if i < len(c.Proxies) && c.Proxies[i] != (hook.Remote{}) {
			set("socks_proxy_server_"+n, c.Proxies[i].Host)
			set("socks_proxy_port_"+n, c.Proxies[i].Port)
		}
	}
	for _, p := range c.Addresses {
		if p.Addr().Is4() {
			set("ifconfig_local", p.Addr())
			set("ifconfig_netmask", mask(p.Bits()))
		} else {
			set("ifconfig_ipv6_local", p.Addr())
			set("ifconfig_ipv6_netbits", p.Bits())
		}
	}
	for i, a := range c.Resolvers {
		set(fmt.Sprintf("foreign_option_%d", i+1), "dhcp-option DNS "+a.String())
	}
	for i, d := range c.SearchDomains {
		set(fmt.Sprintf("dns_search_domain_%d", i+1), d)
	}
	for i, d := range c.RouteDomains {
		set(fmt.Sprintf("dns_server_1_resolve_domain_%d", i+1), d)
	}
	for i, p := range c.Routes {
		if p.Addr().Is4() {
			set(fmt.Sprintf("route_network_%d", i+1), p.Addr())
			set(fmt.Sprintf("route_netmask_%d", i+1), mask(p.Bits()))
		} else {
			set(fmt.Sprintf("route_ipv6_network_%d", i+1), p)
		}
	}
	switch c.Redirect {
	case hook.RedirectAll:
		set("redirect_gateway", 1)
	case hook.RedirectNone:
		set("redirect_gateway", 0)
	case hook.RedirectUnknown:
	}
	return env
}

func mask(bits int) netip.Addr {
	m := ^uint32(0) << (32 - bits)
	return netip.AddrFrom4([4]byte{byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)})
}
