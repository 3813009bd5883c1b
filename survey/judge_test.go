package survey

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func prefixes(list ...string) (all []netip.Prefix) {
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// chain is a table with one base chain, and names of other chains.
func chain(family, table string, c Chain, regular ...string) Host {
	return Host{Tables: []Table{{Family: family, Name: table, Base: []Chain{c}, Regular: regular}}}
}

var (
	lo       = Link{Name: "lo", Index: 1, Kind: "device", Loopback: true, Addresses: prefixes("127.0.0.1/8", "::1/128")}
	eth0     = Link{Name: "eth0", Index: 2, Kind: "device", Addresses: prefixes("192.168.1.5/24")}
	tun0     = Link{Name: "tun0", Index: 3, Kind: "tun", Addresses: prefixes("10.8.0.2/24")}
	docker0  = Link{Name: "docker0", Index: 4, Kind: "bridge", Addresses: prefixes("172.17.0.1/16")}
	resolved = Files{Sockets: []string{"/run/systemd/resolve/io.systemd.Resolve"}}
)

// Each host, and the findings: "severity id" and, after a colon, what must be in the text.
var judgements = []struct {
	name string
	host Host
	want []string
}{
	{"a host with nothing", Host{Links: []Link{lo, eth0}}, nil},

	{"a kill switch of another VPN", chain("inet", "mullvad", Chain{Name: "output", Hook: "output", PolicyDrop: true, End: "reject"}),
		[]string{"blocks foreign-drop: table inet mullvad (Mullvad): chain output at hook output, priority 0, policy drop, ends in a reject; the carrier and|lockdown mode"}},
	{"ufw that filters output", chain("ip", "filter", Chain{Name: "OUTPUT", Hook: "output", PolicyDrop: true}, "ufw-user-output", "DOCKER-USER"),
		[]string{"blocks foreign-drop: table ip filter (ufw, Docker): chain OUTPUT at hook output|policy drop, drops what no rule of it accepts|`ufw allow out on TUNNEL`"}},
	{"iptables by hand", chain("ip6", "filter", Chain{Name: "OUTPUT", Hook: "output", PolicyDrop: true}),
		[]string{"blocks foreign-drop: table ip6 filter (iptables): "}},
	{"a table of nobody that is known", chain("inet", "mine", Chain{Name: "o", Hook: "output", End: "drop", Priority: -5}),
		[]string{"blocks foreign-drop: table inet mine: chain o at hook output, priority -5, policy accept, ends in a drop"}},
	{"policy drop behind an accept of all", chain("inet", "mine", Chain{Name: "o", Hook: "output", PolicyDrop: true, End: "accept"}), nil},
	{"an input that accepts answers", chain("inet", "firewalld", Chain{Name: "filter_INPUT", Hook: "input", Priority: 10, End: "reject", Established: true}),
		[]string{"note foreign-drop: table inet firewalld (firewalld)|answers to flows that began here are accepted"}},
	{"an input that does not", chain("inet", "mine", Chain{Name: "i", Hook: "input", PolicyDrop: true}),
		[]string{"blocks foreign-drop: answers may be dropped"}},
	{"a forward that drops", chain("ip", "filter", Chain{Name: "FORWARD", Hook: "forward", PolicyDrop: true}, "DOCKER-USER"),
		[]string{"note foreign-drop: (Docker)|containers and VMs may get no network|DOCKER-USER"}},
	{"ingress of a link", chain("netdev", "x", Chain{Name: "i", Hook: "ingress", Devices: []string{"eth0"}, PolicyDrop: true}),
		[]string{"blocks foreign-drop: at hook ingress of eth0, "}},
	{"egress of a link", chain("netdev", "x", Chain{Name: "e", Hook: "egress", Devices: []string{"eth0"}, End: "drop"}), []string{"blocks foreign-drop: at hook egress of eth0, "}},
	{"prerouting", chain("ip", "x", Chain{Name: "p", Hook: "prerouting", End: "drop"}), []string{"blocks foreign-drop: before vpnguard sees them"}},
	{"postrouting", chain("ip", "x", Chain{Name: "p", Hook: "postrouting", PolicyDrop: true}), []string{"blocks foreign-drop: at hook postrouting"}},
	{"ARP", chain("arp", "x", Chain{Name: "i", Hook: "input", PolicyDrop: true, Established: true}), []string{"blocks foreign-drop: table arp x"}},
	{"a bridge's table", chain("bridge", "x", Chain{Name: "o", Hook: "output", PolicyDrop: true}), []string{"note foreign-drop: bridges only"}},
	{"drops under conditions", chain("ip", "filter", Chain{Name: "INPUT", Hook: "input", Drops: 2}, "ts-input"),
		[]string{"note foreign-rules: table ip filter (Tailscale)|drops under conditions (rules: 2)"}},
	{"nothing that drops", chain("ip", "nat", Chain{Name: "POSTROUTING", Type: "nat", Hook: "postrouting"}), nil},
	{"two chains of one table", Host{Tables: []Table{{Family: "inet", Name: "wg-quick-wg0", Base: []Chain{
		{Name: "preraw", Hook: "prerouting", Drops: 1}, {Name: "o", Hook: "output", PolicyDrop: true}}}}},
		[]string{"blocks foreign-drop: (wg-quick): chain o", "note foreign-rules: (wg-quick): chain preraw"}},
	{"fail2ban", chain("inet", "f2b-table", Chain{Name: "f2b-chain", Hook: "input", Drops: 1}), []string{"note foreign-rules: (fail2ban)"}},
	{"libvirt", chain("ip", "libvirt_network", Chain{Name: "forward", Hook: "forward", Drops: 2}), []string{"note foreign-rules: (libvirt)"}},

	{"a service that flushes everything", Host{Files: Files{Reload: Reload{File: "/etc/nftables.conf", Enabled: true}}},
		[]string{"leaks flush-ruleset: nftables.service opens the host: /etc/nftables.conf flushes"}},
	{"such a service, not enabled", Host{Files: Files{Reload: Reload{File: "/etc/nftables.conf"}}}, []string{"note flush-ruleset: not enabled"}},
	{"a service that flushes by its unit", Host{Files: Files{Reload: Reload{File: "/usr/lib/systemd/system/nftables.service", Enabled: true}}}, []string{"leaks flush-ruleset: systemctl edit"}},
	{"a service that flushes nothing", Host{Files: Files{Reload: Reload{Enabled: true}}}, nil},
	{"legacy iptables", Host{Legacy: []string{"ip filter", "ip6 nat"}}, []string{"note legacy-iptables: ip filter, ip6 nat"}},

	{"systemd-resolved", Host{Files: resolved, Listeners: []Listener{{Addr: addr("127.0.0.53"), Program: "systemd-resolve"}, {Addr: addr("127.0.0.54")}}},
		[]string{"leaks resolver-socket: systemd-resolved answers over /run/systemd/resolve/io.systemd.Resolve"}},
	{"nscd and avahi", Host{Files: Files{Sockets: []string{"/run/nscd/socket", "/run/avahi-daemon/socket"}}},
		[]string{"leaks resolver-socket: nscd answers|nscd -i hosts", "leaks resolver-socket: avahi answers|deny-interfaces"}},
	{"dnsmasq", Host{Listeners: []Listener{{Addr: addr("127.0.0.1"), Proto: "udp", Program: "dnsmasq"}, {Addr: addr("127.0.0.1"), Proto: "tcp", Program: "dnsmasq"}}},
		[]string{"leaks resolver-listener: dnsmasq answers names at 127.0.0.1:53"}},
	{"a resolver without a name, everywhere", Host{Listeners: []Listener{{Addr: addr("::"), Proto: "udp", UID: 101}}},
		[]string{"leaks resolver-listener: a program of uid 101 answers names at [::]:53"}},
	{"one at 127.0.0.53 that is not resolved's", Host{Listeners: []Listener{{Addr: addr("127.0.0.53"), Program: "unbound"}}}, []string{"leaks resolver-listener: unbound"}},
	{"one for guests", Host{Listeners: []Listener{{Addr: addr("192.168.122.1"), Program: "dnsmasq"}}}, nil},
	{"multicast DNS and resolved in nsswitch.conf", Host{Files: Files{Hosts: []string{"files", "mdns4_minimal", "resolve", "dns", "myhostname"}}},
		[]string{"note nsswitch-mdns: mdns4_minimal", "note nsswitch-resolve: resolvectl"}},
	{"resolved's stub", Host{Files: Files{Resolv: Resolv{Exists: true, Target: "../run/systemd/resolve/stub-resolv.conf", Servers: []netip.Addr{addr("127.0.0.53")}}}},
		[]string{"note resolv-link: ../run/systemd/resolve/stub-resolv.conf (systemd-resolved: its stub)"}},
	{"resolved's own list, of the LAN", Host{Files: Files{Resolv: Resolv{Exists: true, Target: "/run/systemd/resolve/resolv.conf", Servers: []netip.Addr{addr("192.168.1.1")}}}},
		[]string{"blocks resolv-lan: (systemd-resolved: the resolvers that it knows)|(192.168.1.1)", "note resolv-link: "}},
	{"a file with a resolver on the link", Host{Links: []Link{{Name: "eth0", Kind: "device", Addresses: prefixes("203.0.113.5/24")}}, Files: Files{Resolv: Resolv{Exists: true, Servers: []netip.Addr{addr("203.0.113.1"), addr("9.9.9.9")}}}},
		[]string{"blocks resolv-lan: /etc/resolv.conf, a file, names resolvers in the LAN (203.0.113.1)"}},
	{"the session's private resolver", Host{Links: []Link{eth0, tun0}, Tunnels: []string{"tun0"}, Files: Files{Resolv: Resolv{Exists: true, Servers: []netip.Addr{addr("10.8.0.1"), addr("10.99.0.1")}}}}, nil},
	{"a public resolver", Host{Files: Files{Resolv: Resolv{Exists: true, Servers: []netip.Addr{addr("9.9.9.9")}}}}, nil},

	{"Docker's bridge", Host{Links: []Link{eth0, docker0}, Files: Files{Docker: true}}, []string{`blocks guest-bridge: docker0 is a bridge of Docker|guests = ["docker0"]`}},
	{"Docker's bridge, named", Host{Links: []Link{eth0, docker0}, Files: Files{Docker: true}, Guests: []string{"docker0"}}, nil},
	{"Docker without a bridge", Host{Files: Files{Docker: true}}, []string{"note docker: "}},
	{"libvirt's bridge with a VM's tap", Host{Links: []Link{{Name: "virbr0", Index: 5, Kind: "bridge"}, {Name: "vnet0", Index: 6, Kind: "tun", Master: 5}}}, []string{"blocks guest-bridge: virbr0 is a bridge of libvirt"}},
	{"a network card that is called docker0", Host{Links: []Link{{Name: "docker0", Kind: "device"}}}, nil},
	{"Tailscale", Host{Links: []Link{{Name: "tailscale0", Kind: "tun"}}, Rules: []Rule{{Priority: 5210, Mark: 0x80000, Mask: 0xff0000, Table: 254}}},
		[]string{"blocks other-vpn: tailscale0 is Tailscale's", "note mark-rule: routing rule 5210 looks in table 254|0x80000/0xff0000 (Tailscale's marks)"}},
	{"another VPN", Host{Links: []Link{tun0, {Name: "wg0", Kind: "wireguard"}}, Tunnels: []string{"tun0"}}, []string{"blocks other-vpn: wg0 (wireguard) belongs to no session|vpnguard up --dev wg0"}},
	{"the kernel's own idle devices", Host{Links: []Link{{Name: "tunl0", Kind: "ipip"}, {Name: "sit0", Kind: "sit"}}}, nil},
	{"somebody's mark", Host{Rules: []Rule{{Priority: 100, Mark: 0x51, Mask: 0xff, Table: 51820}}}, []string{"note mark-rule: table 51820 for packets with firewall mark 0x51/0xff:"}},

	{"a macvlan child", Host{Links: []Link{eth0, {Name: "mv0", Index: 7, Kind: "macvlan", Parent: 2}}}, []string{"note child: mv0 is a macvlan child of eth0"}},
	{"a wire in a bridge", Host{Links: []Link{{Name: "br0", Index: 8, Kind: "bridge"}, {Name: "eth1", Index: 9, Kind: "device", Master: 8}}, Files: Files{Knobs: map[string]string{"bridge/bridge-nf-call-iptables": "1"}}},
		[]string{"note bridged-wire: eth1 is a port of bridge br0", "note br-netfilter: "}},
	{"a wire in a bond", Host{Links: []Link{{Name: "bond0", Index: 8, Kind: "bond"}, {Name: "eth1", Index: 9, Kind: "device", Master: 8}}, Files: Files{Knobs: map[string]string{"bridge/bridge-nf-call-iptables": "1"}}}, nil},
	{"IPv6", Host{Links: []Link{lo, {Name: "eth0", Kind: "device", Addresses: prefixes("2001:db8::5/64", "fe80::1/64")}}}, []string{"note ipv6: on eth0;"}},
	{"link-local IPv6 only", Host{Links: []Link{{Name: "eth0", Kind: "device", Addresses: prefixes("fe80::1/64")}}}, nil},

	{"a connectivity check", Host{Files: Files{Connectivity: Connectivity{"http://check.example/", "/usr/lib/NetworkManager/conf.d/20-connectivity.conf"}}}, []string{"note connectivity-check: http://check.example/|20-connectivity.conf"}},
	{"a clock in the LAN", Host{Files: Files{Time: []TimeServer{{addr("192.168.1.1"), "/etc/chrony.conf"}, {addr("203.0.113.1"), "/etc/chrony.conf"}}}}, []string{"note time-lan: 192.168.1.1 in the LAN (/etc/chrony.conf)"}},
	{"an endpoint of multipath TCP", Host{MPTCP: []netip.Addr{addr("192.168.1.101")}}, []string{"note mptcp-endpoint: from 192.168.1.101,"}},
	{"settings of the kernel", Host{Files: Files{Knobs: map[string]string{"ipv4/conf/default/rp_filter": "2", "ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}}},
		[]string{"note rp-filter-loose: rp_filter", "note forwarding: IPv4", "note forwarding: IPv6"}},
	{"strict settings", Host{Files: Files{Knobs: map[string]string{"ipv4/conf/default/rp_filter": "1", "ipv4/ip_forward": "0", "ipv6/conf/all/forwarding": "0"}}}, nil},

	{"what root alone may read", Host{Unread: []Unread{{"the tables", fmt.Errorf("dump: %w", fs.ErrPermission)}}}, []string{"note unread: could not look at the tables: dump: permission denied|as root"}},
	{"what cannot be read", Host{Unread: []Unread{{"/etc/x", errors.New("input/output error")}}}, []string{"note unread: could not look at /etc/x: input/output error|nothing is known about it"}},
}

func TestJudgeSaysWhatBreaksAndWhatToDo(t *testing.T) {
	for _, c := range judgements {
		t.Run(c.name, func(t *testing.T) {
			got := Judge(c.host)
			for i := range max(len(got), len(c.want)) {
				if i >= len(got) {
					t.Errorf("missing: %s", c.want[i])
					continue
				}
				text := fmt.Sprintf("%s %s: %s: %s", got[i].Severity, got[i].ID, got[i].What, got[i].Do)
				if i >= len(c.want) {
					t.Errorf("too much: %s", text)
					continue
				}
				head, parts, _ := strings.Cut(c.want[i], ": ")
				if !strings.HasPrefix(text, head+": ") {
					t.Errorf("%s\nwant %s", text, c.want[i])
				}
				for _, part := range strings.Split(parts, "|") {
					if !strings.Contains(text, part) {
						t.Errorf("%s\nlacks %q", text, part)
					}
				}
				if got[i].What == "" || got[i].Do == "" {
					t.Errorf("nothing to do: %s", text)
				}
			}
		})
	}
}

func TestJudgeNamesTheWorstFirst(t *testing.T) {
	h := Host{
		Unread: []Unread{{"x", fs.ErrPermission}}, Files: resolved,
		Tables: []Table{{Family: "inet", Name: "x", Base: []Chain{{Name: "o", Hook: "output", PolicyDrop: true}}}},
	}
	var order []string
	for _, f := range Judge(h) {
		order = append(order, f.Severity.String())
	}
	if got := strings.Join(order, " "); got != "blocks leaks note" {
		t.Errorf("order %q", got)
	}
}

func TestSeverityIsAWord(t *testing.T) {
	var zero Severity
	for s, want := range map[Severity]string{zero: "blocks", Leaks: "leaks", Note: "note", 9: "severity 9"} {
		if text, err := s.MarshalText(); err != nil || string(text) != want {
			t.Errorf("%d: %q, %v", s, text, err)
		}
	}
}
