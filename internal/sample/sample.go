// Package sample is a made-up audit with a case of every verdict, and the parts
// to make others from, for tests of what is made of one.
package sample

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// Policy goes with [Audit].
const Policy = `profile = "a hostile LAN, full tunnel"
threshold = "low"
min_controls = 0.5

[[waiver]]
id = "l2-chatter"
variant = "lldp"
reason = "the switch wants it | <b>and</b> so do we"
owner = "net team"
expires = 2031-01-31
`

// The addresses of a client, its VPN server, one on the internet, and the
// client's in the tunnel.
var (
	start  = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	Host   = netip.MustParseAddr("192.168.1.101")
	Server = netip.MustParseAddr("203.0.113.10")
	Public = netip.MustParseAddr("8.8.8.8")
	Inner  = netip.MustParseAddr("10.8.0.2")
)

// At is a time, in milliseconds from the start of every run.
func At(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// Audit returns the evidence.
func Audit() evidence.Audit {
	return evidence.Audit{
		Schema: evidence.Schema, Started: At(0), Finished: At(31_000), Catalogue: classes(), Cases: cases(), Environment: environment(), Topology: topology(),
		Scope: evidence.Scope{
			Mode: "lab", ThreatModel: "an attacker on the LAN who answers DHCP, forges ARP and router advertisements, and reads every frame; programs of the user that send as they like",
			Client: evidence.Named{Name: "own", Version: "0.3.0"}, Guard: evidence.Named{Name: "vpnguard", Version: "0.3.0", Commit: "0123456789ab"},
			Auditor: evidence.Named{Name: "vpnguard", Version: "0.3.0"}, Catalogue: "1", Seed: 42, Repeat: 1,
			Profile: evidence.Profile{Path: "vpn/office site.conf", SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Settings: []string{"remote 203.0.113.10:1194"}},
			Command: []string{"vpnguard", "audit", "lab", "--seed", "42", "--profile", "vpn/office site.conf"},
		},
		Mutants:  []evidence.Mutant{{Removed: []string{"output policy"}, Noticed: []string{"endpoint-marker"}, Tunnel: true}, {Removed: []string{"forward policy", "strong host"}, Tunnel: true}},
		Residual: []string{"Whoever sees both ends can correlate sizes and times.", "A LAN that injects routes can tell which destinations the guard blocks."},
	}
}

func classes() []evidence.Class {
	return []evidence.Class{
		{ID: "bind-to-device", Title: "SO_BINDTODEVICE, unprivileged since 5.7", Severity: evidence.High, Test: "NS", Text: "Any program may bind a socket to the real interface and send past the tunnel.", Fix: "a default drop in the output hook", Sources: []string{"Linux commit c427bfec18f2"}},
		{ID: "weak-host-v4", Title: "the tunnel's address answers on the LAN", Severity: evidence.Medium, Test: "NS", Fix: "a strong-host rule before routing", Sources: []string{"CVE-2019-14899"}},
		{ID: "selective-dos", Title: "blocked injected routes are an oracle", Severity: evidence.Medium, Test: "NS"},
		{ID: "client-crash", Title: "SIGKILL: routes vanish, no hook runs", Severity: evidence.Critical, Test: "NS", Fix: "a guard that does not depend on the client's process"},
		{ID: "af-packet", Title: "raw L2 sockets skip inet hooks", Severity: evidence.Medium, Test: "NS"},
		{ID: "l2-chatter", Title: "LLDP, IGMP, gratuitous ARP", Severity: evidence.Low, Test: "NS"},
		{ID: "endpoint-kernel-transport", Title: "uid matches mean nothing for kernel tunnels", Severity: evidence.High, Test: "NS+"},
		{ID: "ipv6-native", Title: "a dual-stack host and an IPv4-only VPN", Severity: evidence.Critical, Test: "NS"},
		{ID: "boot-window", Title: "network up before the guard", Severity: evidence.High, Test: "HOST"},
		{ID: "traffic-correlation", Title: "size and timing", Severity: evidence.Info, Test: "DOC"},
	}
}

func environment() evidence.Environment {
	return evidence.Environment{
		Kernel: "6.18.5", Tools: []evidence.Named{{Name: "nft", Version: "1.0.6"}},
		Capabilities: []evidence.Capability{{Name: "netdev egress hook", Have: true}, {Name: "kernel WireGuard", Why: "the module is not there"}},
		Sections: []evidence.Section{
			{Title: "rules during", Text: "table inet vpnguard {\n\tchain output {\n\t\ttype filter hook output priority filter; policy drop;\n\t}\n}"},
			{Title: "routes", Text: "default via 192.168.1.1 dev eth0\n0.0.0.0/1 dev tun0"},
		},
	}
}

func topology() evidence.Topology {
	return evidence.Topology{
		Nodes: []evidence.Node{
			{Name: "client", Label: "client", Addresses: []string{"192.168.1.101", "2001:db8:1::101", "tunnel 10.8.0.2"}},
			{Name: "gateway", Label: "attacker's gateway", Addresses: []string{"192.168.1.1", "198.51.100.2"}, Column: 1},
			{Name: "internet", Label: "internet", Addresses: []string{"198.51.100.1", "8.8.8.8"}, Column: 2},
			{Name: "server", Label: "VPN server", Addresses: []string{"203.0.113.10"}, Column: 3},
			{Name: "guest", Label: "guest", Addresses: []string{"172.31.0.2"}, Row: 1},
		},
		Links: []evidence.Link{
			{From: "client", To: "gateway", Label: "eth0"}, {From: "gateway", To: "internet"}, {From: "internet", To: "server"}, {From: "guest", To: "client"},
			{From: "client", To: "server", Label: "tunnel", Tunnel: true},
		},
		Vantages: []evidence.Vantage{
			{Name: "WIRE", Node: "gateway", Peer: "client", Supports: []string{"what leaves the client's cable, whatever sent it"}},
			{Name: "TUNNEL", Node: "server", Supports: []string{"that a probe was sent and went through the tunnel"}},
		},
	}
}

func cases() []evidence.Case {
	crash := streamed("client-crash", 100)
	exposed := with(one("weak-host-v4", "synack"), Packet(60, true, Host, Public, 9, "answer vg-weak-host-v4"))
	exposed.Harm = evidence.Exposes
	oracle := one("selective-dos", "")
	for i := range oracle.Runs {
		oracle.Runs[i].Oracles = []evidence.Reading{{What: "answers from the injected destinations", Quiet: 3, Probed: 3 - 3*int64(i), Harm: evidence.Oracle}}
	}
	dead := one("af-packet", "plain")
	dead.Runs[1].Captures[0].Drops = 7
	leak := with(one("bind-to-device", "udp"), Packet(60, true, Host, Public, 53, "vg-bind-to-device"), Packet(62, true, Host, Public, 53, "vg-bind-to-device"))
	leak.Rule, leak.Line, leak.Reproduce = "the default drop of the output hook", 3, []string{"vpnguard", "audit", "lab", "--seed", "42", "--only", "bind-to-device"}
	innocent := one("harmless", "an echo through the tunnel")
	innocent.Innocent, innocent.Runs = true, innocent.Runs[1:]
	return []evidence.Case{
		leak, one("bind-to-device", "tcp <&> \"quoted\""), exposed, oracle, crash, dead,
		with(one("l2-chatter", "lldp"), Packet(60, true, Host, netip.MustParseAddr("224.0.0.251"), 5353, "vg-l2-chatter")),
		{ID: "endpoint-kernel-transport", Title: "kernel WireGuard under a uid seal", NotTested: "this kernel has no WireGuard"},
		{ID: "ipv6-native", Title: "sends over IPv6", NotApplicable: "the profile has IPv6 in the tunnel"},
		innocent,
	}
}

// one is a case that passes.
func one(id, variant string) evidence.Case {
	nonce := "vg-" + id
	return evidence.Case{
		ID: id, Variant: variant, Title: "tries " + id,
		Runs: []evidence.Run{
			Run(evidence.Control, nonce, []wire.Frame{Carrier(5), Packet(30, true, Host, Public, 53, nonce)}, nil),
			Run(evidence.Guarded, nonce, []wire.Frame{Carrier(5), Carrier(40)}, []wire.Frame{Packet(39, false, Inner, Public, 53, nonce)}),
		},
	}
}

func with(c evidence.Case, frames ...wire.Frame) evidence.Case {
	w := &c.Runs[1].Captures[0]
	w.Frames = append(w.Frames, frames...)
	w.Count = len(w.Frames)
	return c
}

// streamed is a life-cycle case that leaks as many datagrams.
func streamed(id string, leaks int) evidence.Case {
	c := one(id, "sigkill")
	for i := range c.Runs {
		r := &c.Runs[i]
		nonce := r.Stimuli[0].Nonce
		r.Ended, r.Stimuli[0].Ended, r.Captures[0].Canaries[2].At = At(10_000), At(9000), At(9500)
		r.Tunnel.Need, r.Tunnel.Why, r.Tunnel.Checks[0].When = evidence.Before, "the client is killed", evidence.Before
		r.Timeline = &evidence.Timeline{Nonce: nonce, Rate: 100, Started: At(10), Ended: At(9000), Sent: 600, Refused: 299,
			Events: []evidence.Event{{At: At(4000), What: "the client is killed"}, {At: At(7000), What: "the client is started"}}}
		var onWire, inTunnel []wire.Frame
		for n := range 899 {
			ms, number := 10+n*10, string(binary.BigEndian.AppendUint64(nil, uint64(n)))
			switch {
			case ms < 4000 || ms > 7200:
				inTunnel = append(inTunnel, Packet(ms, false, Inner, Public, 9, nonce+number))
			case len(onWire) < leaks:
				onWire = append(onWire, Packet(ms, true, Host, Public, 9, nonce+number))
			}
		}
		r.Captures[0].Frames, r.Captures[0].Count = onWire, len(onWire)
		r.Captures[1].Frames, r.Captures[1].Count = inTunnel, len(inTunnel)
	}
	return c
}

// Run has everything that a pass needs: 100 ms with one stimulus in the middle.
func Run(phase evidence.Phase, nonce string, onWire, inTunnel []wire.Frame) evidence.Run {
	canaries := []evidence.Canary{
		{When: evidence.AtStart, At: At(1), Sent: 2, Seen: 2}, {When: evidence.Between, At: At(50), Sent: 2, Seen: 2}, {When: evidence.AtEnd, At: At(99), Sent: 2, Seen: 2},
	}
	return evidence.Run{
		Phase: phase, Seed: 42, Started: At(0), Ended: At(100),
		Stimuli: []evidence.Stimulus{{
			Name: "send", Node: "client", UID: 1000, Program: "vpnguard", Nonce: nonce, Planned: 1, Started: At(10), Ended: At(90),
			Sends: []evidence.Send{{What: "udp"}}, Signs: evidence.Signs{Needles: [][]byte{[]byte(nonce)}},
		}},
		Captures: []evidence.Capture{
			{Vantage: "WIRE", Interface: "lan0", Canaries: canaries, Count: len(onWire), Frames: onWire, Declared: evidence.Declared{
				MACs: []string{"02:00:00:00:01:65"}, Hosts: []netip.Addr{Host}, Never: []netip.Addr{Inner},
				Entries: []evidence.Entry{{Name: "carrier", Kind: evidence.Carrier, Reason: "the tunnel's own packets", To: netip.PrefixFrom(Server, 32), Proto: 17, ToPort: 1194}},
			}},
			{Vantage: "TUNNEL", Role: evidence.Inside, Interface: "tun0", Layer: evidence.IP, Count: len(inTunnel), Frames: inTunnel},
		},
		Tunnel: evidence.Tunnel{Checks: []evidence.Check{{What: "echo", Works: true, At: At(20)}}},
	}
}

// Carrier is a frame of the tunnel on the wire.
func Carrier(ms int) wire.Frame { return Packet(ms, true, Host, Server, 1194, "encrypted") }

// Packet is a datagram, on a cable or, without link, as in a tunnel.
func Packet(ms int, link bool, from, to netip.Addr, port uint16, payload string) wire.Frame {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	udp := &layers.UDP{SrcPort: 40000, DstPort: layers.UDPPort(port)}
	_ = udp.SetNetworkLayerForChecksum(ip) // of IPv4, it never fails
	all := []gopacket.SerializableLayer{ip, udp, gopacket.Payload(payload)}
	if link {
		all = append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 1, 0x65}, DstMAC: []byte{2, 0, 0, 0, 1, 1}, EthernetType: layers.EthernetTypeIPv4}}, all...)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		panic(err) // the layers are all written here
	}
	return wire.Frame{Time: At(ms), Data: b.Bytes(), Len: len(b.Bytes())}
}
