package hook_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/hook"
)

// remotes writes "HOST PORT PROTO [by KIND HOST PORT]", one a remote.
func remotes(list ...string) []string {
	var env []string
	for i, l := range list {
		f := strings.Fields(l)
		env = append(env, fmt.Sprintf("remote_%d=%s", i+1, f[0]), fmt.Sprintf("remote_port_%d=%s", i+1, f[1]), fmt.Sprintf("proto_%d=%s", i+1, f[2]))
		if len(f) > 3 {
			env = append(env, fmt.Sprintf("%s_proxy_server_%d=%s", f[4], i+1, f[5]), fmt.Sprintf("%s_proxy_port_%d=%s", f[4], i+1, f[6]))
		}
	}
	return env
}

func TestCarriersHoldEachProtocolThatThePeerCanHave(t *testing.T) {
	// The peer is 203.0.113.5:1194.
	tests := []struct {
		name     string
		remotes  []string
		carriers string
		names    string
	}{
		{"literal", remotes("203.0.113.5 1194 udp"), "203.0.113.5:1194/udp", ""},
		{"mapped literal", remotes("::ffff:203.0.113.5 1194 udp6"), "203.0.113.5:1194/udp", ""},
		{"literal by both protocols", remotes("203.0.113.5 1194 udp", "203.0.113.5 1194 tcp-client"),
			"203.0.113.5:1194/udp 203.0.113.5:1194/tcp", ""},
		{"another literal", remotes("203.0.113.5 1194 tcp", "203.0.113.6 443 udp"),
			"203.0.113.5:1194/tcp 203.0.113.6:443/udp", ""},
		{"literal wins over name", remotes("203.0.113.5 1194 udp4", "vpn.example 1194 tcp"),
			"203.0.113.5:1194/udp", "vpn.example:1194/tcp any"},
		{"name by port", remotes("vpn.example 1194 tcp4-client", "vpn.example 443 udp"),
			"203.0.113.5:1194/tcp", "vpn.example:1194/tcp ipv4,vpn.example:443/udp any"},
		{"names by port", remotes("a.example 1194 udp", "b.example 1194 tcp"),
			"203.0.113.5:1194/udp 203.0.113.5:1194/tcp", "a.example:1194/udp any,b.example:1194/tcp any"},
		{"name of the other family", remotes("a.example 1194 udp6", "b.example 1194 tcp"),
			"203.0.113.5:1194/tcp", "a.example:1194/udp ipv6,b.example:1194/tcp any"},
		{"server answers from elsewhere", remotes("203.0.113.9 1194 udp", "203.0.113.8 443 tcp", "203.0.113.9 53 udp"),
			"203.0.113.5:1194/udp 203.0.113.5:1194/tcp 203.0.113.9:1194/udp 203.0.113.8:443/tcp 203.0.113.9:53/udp", ""},
		{"http proxy", remotes("198.51.100.9 443 tcp by http 203.0.113.5 1194"), "203.0.113.5:1194/tcp", ""},
		{"socks proxy", remotes("vpn.example 443 tcp by socks 203.0.113.5 1194"), "203.0.113.5:1194/tcp", ""},
		{"socks relay of udp", remotes("198.51.100.9 1194 udp by socks 203.0.113.5 1080"),
			"203.0.113.5:1194/tcp 203.0.113.5:1194/udp 203.0.113.5:1080/tcp", ""},
		{"proxy by name", remotes("198.51.100.9 443 tcp by http proxy.example 1194"),
			"203.0.113.5:1194/tcp", "proxy.example:1194/tcp any"},
		{"one of two behind a proxy", remotes("203.0.113.5 1194 udp", "203.0.113.5 1194 tcp by http 203.0.113.6 3128"),
			"203.0.113.5:1194/udp 203.0.113.6:3128/tcp", ""},
		{"duplicates", remotes("203.0.113.5 1194 udp", "203.0.113.5 1194 udp"), "203.0.113.5:1194/udp", ""},
		{"no remote", nil, "", ""},
	}
	for _, tt := range tests {
		environ := env(append([]string{"remote_1", "remote_port_1", "proto_1"}, tt.remotes...)...)
		c, err := hook.Parse(hook.CommandUp, environ, nil, hook.Parent{})
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := strings.Trim(fmt.Sprint(c.Carriers()), "[]"); got != tt.carriers {
			t.Errorf("%s: carriers %s, want %s", tt.name, got, tt.carriers)
		}
		var names []string
		for _, m := range c.Names() {
			names = append(names, fmt.Sprintf("%s:%d/%v %v", m.Host, m.Port, m.Proto, m.Family))
		}
		if got := strings.Join(names, ","); got != tt.names {
			t.Errorf("%s: names %s, want %s", tt.name, got, tt.names)
		}
		checkCall(t, c)
	}
}

func TestEachProtocolNameOfOpenVPN(t *testing.T) {
	for name, want := range map[string]string{
		"udp": "udp any", "udp4": "udp ipv4", "udp6": "udp ipv6",
		"tcp": "tcp any", "tcp4": "tcp ipv4", "tcp6": "tcp ipv6",
		"tcp-client": "tcp any", "tcp4-client": "tcp ipv4", "tcp6-client": "tcp ipv6",
		"tcp-server": "tcp any", "tcp4-server": "tcp ipv4", "tcp6-server": "tcp ipv6",
	} {
		c, err := hook.Parse(hook.CommandUp, env("proto_1="+name), nil, hook.Parent{})
		if err != nil || len(c.Remotes) != 1 {
			t.Errorf("%s: %v, %v", name, c.Remotes, err)
		} else if got := fmt.Sprint(c.Remotes[0].Proto, " ", c.Remotes[0].Family); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestCarriersWithoutPeerAreTheLiterals(t *testing.T) {
	c, err := hook.Parse(hook.CommandUp, env("trusted_ip", "trusted_port"), nil, hook.Parent{})
	if got := fmt.Sprint(c.Carriers(), err); got != "[203.0.113.5:1194/udp] <nil>" {
		t.Error(got)
	}
}
