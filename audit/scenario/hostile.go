package scenario

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/dhcp"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// hostile is a LAN whose DHCP server changes the client's ways.
func hostile() []*scenario {
	via := func(prefixes ...string) []byte {
		routes := map[netip.Prefix]netip.Addr{}
		for _, p := range prefixes {
			routes[netip.MustParsePrefix(p)] = site.Gateway
		}
		return dhcp.Classless(routes)
	}
	ordinary := netip.PrefixFrom(site.Client, 24)
	return []*scenario{
		{id: "dhcp-opt121", title: "a lease with a route to one address", rule: "out-end", run: func(t *trial) error {
			return t.leased(ordinary, map[byte][]byte{dhcp.OptClassless: via("8.8.8.8/32")}, "udp-public", "tcp-public")
		}},
		{id: "dhcp-opt121", variant: "quarters", title: "a lease with routes to three quarters of the internet, longer than the tunnel's", rule: "out-end", run: func(t *trial) error {
			return t.leased(ordinary, map[byte][]byte{dhcp.OptClassless: via("0.0.0.0/2", "64.0.0.0/2", "128.0.0.0/2")}, "udp-public", "udp-public2")
		}},
		{id: "localnet-public-subnet", title: "a lease of a public address: its network is the LAN", rule: "out-end", run: func(t *trial) error {
			if err := t.answerForAll(); err != nil {
				return err
			}
			return t.leased(netip.MustParsePrefix("8.8.8.77/24"), nil, "udp-public", "tcp-public")
		}},
		{id: "dhcp-router-is-dns", title: "a lease whose router is the resolver", rule: "out-dns-udp", run: func(t *trial) error {
			if err := t.answerForAll(); err != nil {
				return err
			}
			return t.leased(ordinary, map[byte][]byte{dhcp.OptRouter: dhcp.Addresses(site.Public)}, "dns-udp-public", "dns-tcp-public")
		}},
		{id: "dhcp-aux-options", title: "a lease with a static route (33) and a resolver (6) behind it", rule: "out-end", run: func(t *trial) error {
			return t.leased(ordinary, map[byte][]byte{
				dhcp.OptStaticRoutes: dhcp.Addresses(site.PublicTwo, site.Gateway), dhcp.OptDNS: dhcp.Addresses(site.PublicTwo),
			}, "udp-public2", "resolver-file")
		}},
		{id: "dns-rewrite-race", title: "a lease names the LAN's resolver while the tunnel is up", rule: "out-dns-udp", run: func(t *trial) error {
			return t.leased(ordinary, map[byte][]byte{dhcp.OptDNS: dhcp.Addresses(site.Gateway)}, "resolver-file")
		}},
		{id: "arp-destination-leak", title: "an internet address is on the link", rule: "out-end", run: func(t *trial) error {
			if err := t.change("ip route add 8.8.8.0/24 dev eth0\n", "ip route del 8.8.8.0/24 dev eth0\n"); err != nil {
				return err
			}
			// The question is all that leaves: nobody answers it.
			return t.probe("udp-public", probed{mentions: []netip.Addr{site.Public}})
		}},
		{id: "selective-dos", title: "the LAN tells by an injected route whether a destination is in use", rule: "steering", harm: evidence.Oracle, run: selective},
	}
}

// leased takes a lease and then runs probes.
func (t *trial) leased(client netip.Prefix, options map[byte][]byte, names ...string) error {
	if err := t.lease(t.lab.Client, "eth0", "lan0", dhcp.Lease{Interface: "lan0", Own: site.Gateway, Client: client, Options: options}); err != nil {
		return err
	}
	return t.probes(names...)
}

// answerForAll lets the gateway answer ARP for addresses that are not on its LAN.
func (t *trial) answerForAll() error {
	const on = "echo 1 > /proc/sys/net/ipv4/conf/lan0/proxy_arp\necho 0 > /proc/sys/net/ipv4/neigh/lan0/proxy_delay\n"
	t.later(func() error {
		return t.lab.Gateway.Script(t.ctx, "echo 0 > /proc/sys/net/ipv4/conf/lan0/proxy_arp\n")
	})
	return t.lab.Gateway.Script(t.ctx, on)
}

// leaseScript applies a lease as distributions' scripts do, and notes how to
// undo it.
const leaseScript = `#!/bin/sh
case "$1" in bound|renew) ;; *) exit 0;; esac
undo="$0.undo"
ip -4 addr show dev "$interface" | grep -q "inet $ip/" || {
	ip addr add "$ip/$mask" dev "$interface" && echo "ip addr del $ip/$mask dev $interface" >> "$undo"
}
route() { ip route prepend "$@" && echo "ip route del $*" >> "$undo"; }
if [ -n "$staticroutes" ]; then
	set -- $staticroutes
	while [ $# -ge 2 ]; do route "$1" via "$2" dev "$interface" onlink; shift 2; done
else
	for r in $router; do route "$r" dev "$interface"; done
	set -- $(echo "$routes" | tr / ' ')
	while [ $# -ge 2 ]; do route "$1" via "$2" dev "$interface" onlink; shift 2; done
fi
if [ -n "$dns" ]; then
	cp /etc/resolv.conf "$0.resolv"
	for d in $dns; do echo "nameserver $d"; done > /etc/resolv.conf
	echo "cat $0.resolv > /etc/resolv.conf" >> "$undo"
fi
echo taken >> "$0.taken"
`

// lease has the client take a lease from a server of the gateway's.
func (t *trial) lease(node *lab.Node, dev, server string, l dhcp.Lease) error {
	dir, err := os.MkdirTemp(t.lab.Dir, "lease-")
	if err != nil {
		return err
	}
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte(leaseScript), 0o755); err != nil {
		return err
	}
	arg, err := json.Marshal(l)
	if err != nil {
		return err
	}
	stop, err := t.lab.Task(t.lab.Gateway, dhcp.ServerRole, string(arg))
	if err != nil {
		return err
	}
	t.later(func() error { stop(); return nil })
	t.later(func() error {
		return node.Script(t.ctx, fmt.Sprintf("[ ! -e %[1]s.undo ] || sh %[1]s.undo || :\n", script))
	})
	s := evidence.Stimulus{Name: "lease from " + server, Node: t.lab.Gateway.Name, Planned: 1, Started: time.Now(), Nonce: probe.NewNonce()}
	s.Marks = [][]byte{l.Client.Addr().AsSlice()}
	for _, v := range l.Options {
		s.Marks = [][]byte{v}
	}
	program, err := t.take(node, dev, script)
	s.Program, s.Ended = program, time.Now()
	send := evidence.Send{What: "a lease of " + l.Client.String()}
	if err != nil {
		send.Error = err.Error()
	}
	s.Sends = append(s.Sends, send)
	s.Witness = append(s.Witness, evidence.Section{Title: "the client's lease script", Text: read(script + ".taken")})
	t.run.Stimuli = append(t.run.Stimuli, s)
	t.recorded.canary(evidence.Between)
	return err
}

func read(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

// take runs the DHCP client: the machine's udhcpc, or one of our own.
func (t *trial) take(node *lab.Node, dev, script string) (program string, err error) {
	if _, err := exec.LookPath("busybox"); err == nil {
		if _, err := node.Run(t.ctx, "busybox", "udhcpc", "-f", "-n", "-q", "-i", dev, "-t", "10", "-T", "1", "-O", "33", "-O", "121", "-s", script); err != nil {
			return "busybox udhcpc", err
		}
		return "busybox udhcpc", nil
	}
	arg, err := json.Marshal(dhcp.Want{Interface: dev, Script: script})
	if err != nil {
		return "", err
	}
	cmd := node.Role(t.ctx, dhcp.ClientRole, string(arg))
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("take a lease: %w: %s", err, out)
	}
	return "built-in dhcp client", err
}

// selective sends the same to a destination before and while the LAN routes it
// to itself.
func selective(t *trial) error {
	const what = "carriers for five datagrams to one destination while its route is injected"
	five := func(as string, silent bool) (int64, error) {
		return t.carriersFor(func() error {
			for i := range 5 {
				if err := t.probe("udp-public2-quiet", probed{as: fmt.Sprintf("%s %d", as, i), silent: silent}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	quiet, err := five("before", true)
	if err != nil {
		return err
	}
	if err := t.lease(t.lab.Client, "eth0", "lan0", dhcp.Lease{Interface: "lan0", Own: site.Gateway, Client: netip.PrefixFrom(site.Client, 24), Options: map[byte][]byte{
		dhcp.OptClassless: dhcp.Classless(map[netip.Prefix]netip.Addr{netip.PrefixFrom(site.PublicTwo, 32): site.Gateway}),
	}}); err != nil {
		return err
	}
	probed, err := five("while injected", false)
	t.run.Oracles = append(t.run.Oracles, evidence.Reading{What: what, Quiet: quiet, Probed: probed, Harm: evidence.Oracle})
	return err
}
