package rules_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/rules"
)

// stage is a part of the output chain and the ids of its rules, by prefix.
type stage struct {
	name string
	ids  []string
}

var fullOrder = []stage{
	{"loopback", []string{"out-loopback"}},
	{"carriers", []string{"out-carrier"}},
	{"names inside", []string{"out-resolver-"}},
	{"no other names", []string{"out-dns-", "out-names"}},
	{"tunnels", []string{"out-tunnel-", "out-source-"}},
	{"link upkeep", []string{"out-dhcp", "out-nd"}},
	{"guests", []string{"out-guest-"}},
	{"servers in what follows", []string{"out-server"}},
	{"LAN", []string{"out-lan"}},
	{"services", []string{"out-service-", "out-hold-"}},
	{"end", []string{"out-end"}},
}

var splitOrder = []stage{
	{"loopback", []string{"out-loopback"}},
	{"carriers", []string{"out-carrier"}},
	{"names inside", []string{"out-resolver-"}},
	{"no other names", []string{"out-dns-", "out-names"}},
	{"tunnels", []string{"out-tunnel-"}},
	{"servers", []string{"out-server"}},
	{"inside", []string{"out-inside"}},
}

func TestOutputChainIsInTheOrderOfItsStages(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy rules.Policy
		order  []stage
	}{{"full", allowing(), fullOrder}, {"split", split(), splitOrder}} {
		t.Run(c.name, func(t *testing.T) {
			var want []string
			for _, s := range c.order {
				want = append(want, s.name)
			}
			got := stages(t, chain(t, build(t, c.policy), "output"), c.order)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("stages wanted (-), in the chain (+):\n%s", diff)
			}
		})
	}
}

// stages names the stage of each rule, in the order of the chain, each run once.
func stages(t *testing.T, c rules.Chain, order []stage) []string {
	t.Helper()
	var got []string
	for _, r := range c.Rules {
		name := "none: " + r.ID
		for _, s := range order {
			for _, id := range s.ids {
				if strings.HasPrefix(r.ID, id) {
					name = s.name
				}
			}
		}
		if len(got) == 0 || got[len(got)-1] != name {
			got = append(got, name)
		}
	}
	return got
}

// The order shows in packets that two stages would decide on differently.
func TestTheEarlierStageDecides(t *testing.T) {
	at53 := allowing()
	at53.Carriers[0].Endpoints = append(at53.Carriers[0].Endpoints, endpoints("203.0.113.10:53/udp", "192.168.1.50:853/tcp")...)
	for _, c := range []struct {
		name   string
		policy rules.Policy
		packet rules.Packet
		want   string
	}{
		{"loopback before names", full(), udp("lo", "127.0.0.1:40000", "127.0.0.53:53"), "out-loopback"},
		{"carriers before names", at53, by(0, udp("eth0", lan4, "203.0.113.10:53")), "out-carrier0_ip4-uid0"},
		{"carriers before the LAN's servers", at53, by(0, tcp("eth0", lan4, "192.168.1.50:853")), "out-carrier0_ip4-uid0"},
		{"names inside before no other names", full(), udp("tun0", tun4, "10.8.0.1:53"), "out-resolver-tun0/ip4"},
		{"no other names before tunnels", full(), udp("tun0", tun4, "8.8.8.8:53"), "out-dns-udp"},
		{"no other names before guests", allowing(), tcp("docker0", "172.17.0.1:40000", "172.17.0.2:53"), "out-dns-tcp"},
		{"no other names before the LAN", allowing(), udp("eth0", lan4, "192.168.1.1:53"), "out-dns-udp"},
		{"no other names before services", allowing(), reply(tcp("eth0", "192.168.1.101:22", "198.51.100.7:853")), "out-dns-tcp"},
		{"sources before tunnels", full(), udp("tun0", lan4, "8.8.8.8:443"), "out-source-tun0"},
		{"tunnels before the LAN's servers", allowing(), inTunnel(udp("tun0", tun4, "192.168.1.50:1194")), "out-tunnel-tun0"},
		{"servers before the LAN", allowing(), udp("eth0", lan4, "192.168.1.50:1194"), "out-server4"},
		{"servers before services", allowing(), reply(tcp("eth0", "192.168.1.101:22", "203.0.113.10:40000")), "out-server4-tcp"},
		{"names before inside, split", split(), tcp("eth0", lan4, "10.66.0.1:53"), "out-dns-tcp"},
		{"tunnels before inside, split", split(), inTunnel(tcp("tun0", tun4, "10.66.0.1:80")), "out-tunnel-tun0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := trace(build(t, c.policy), c.packet)[0].Rule; got != c.want {
				t.Errorf("the output chain decided by rule %q, want %q", got, c.want)
			}
		})
	}
}

func chain(t testing.TB, rs rules.Ruleset, name string) rules.Chain {
	t.Helper()
	for _, table := range rs.Tables {
		for _, c := range table.Chains {
			if c.Name == name {
				return c
			}
		}
	}
	t.Fatalf("no chain %q", name)
	return rules.Chain{}
}
