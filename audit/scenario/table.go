package scenario

import (
	"github.com/vpnguard/vpnguard/audit/evidence"
)

// Listed is a scenario as people see it.
type Listed struct {
	ID, Variant, Title, Group string
}

// List tells which scenarios there are.
func List() (all []Listed) {
	for _, s := range table() {
		all = append(all, Listed{s.id, s.variant, s.title, s.group.name})
	}
	return all
}

func table() (all []grouped) {
	for _, part := range []struct {
		group *group
		list  []*scenario
	}{
		{&group{name: "tunnel"}, steady()},
	} {
		for _, s := range part.list {
			all = append(all, grouped{s, part.group})
		}
	}
	return all
}

// tries is a scenario that runs probes of the client.
func tries(id, variant, title, rule string, names ...string) *scenario {
	return &scenario{id: id, variant: variant, title: title, rule: rule, run: func(t *trial) error { return t.probes(names...) }}
}

// asRoot is the same as root where the probes would take an ordinary user.
func asRoot(id, variant, title, rule string, names ...string) *scenario {
	return &scenario{id: id, variant: variant, title: title, rule: rule, run: func(t *trial) error {
		for _, n := range names {
			if err := t.probe(n, probed{root: true}); err != nil {
				return err
			}
		}
		return nil
	}}
}

// steady are what programs try beside a tunnel that stands.
func steady() []*scenario {
	return []*scenario{
		tries("port-fail", "", "a program talks to another port of the VPN server's address", "out-carrier", "udp-server", "tcp-server", "icmp-server"),
		tries("endpoint-marker", "", "a program sends to the server's exact port", "out-carrier", "udp-carrier-port"),
		tries("bind-to-device", "", "a program binds its sockets to the wire", "out-end", "bind-device-udp", "bind-device-tcp", "bind-device-icmp", "bind-device-udp-v6", "bind-device-tcp-v6", "bind-device-icmp-v6"),
		tries("dns-lan-resolver", "", "a program asks the LAN's resolver", "out-dns-udp", "dns-udp-lan", "dns-udp-lan-v6"),
		tries("af-packet", "", "a packet socket sends whole frames", "fence-end", "packet-ipv4", "packet-ipv6", "packet-ipv4-bypass", "packet-ipv6-bypass"),
		{id: "v4-mapped", variant: "negative control", title: "an ordinary program talks by the tunnel", innocent: true, run: func(t *trial) error {
			return t.probe("udp-v4-mapped", probed{})
		}},
	}
}

var _ = evidence.Leaks
