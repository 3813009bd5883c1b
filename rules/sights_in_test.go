package rules_test

import (
	"net/netip"

	"github.com/vpnguard/vpnguard/rules"
)

const silent = "policy in-end: drop"

func dhcp(src, dst string, op uint8) rules.Packet {
	return with(udp("eth0", src, dst), func(p *rules.Packet) { p.DHCPOp = op })
}

func upkeepSights() []sight {
	ask, answer := dhcp("0.0.0.0:68", "255.255.255.255:67", 1), arrives(dhcp("192.168.1.1:67", "255.255.255.255:68", 2))
	ask6 := udp("eth0", "[fe80::2]:546", "[ff02::1:2]:547")
	answer6 := arrives(udp("eth0", "[fe80::1]:547", "[fe80::2]:546"))
	solicit := about("fe80::1", nd("eth0", "fe80::2", "ff02::1:ff00:1", 135))
	about := func(target string) rules.Packet {
		return with(solicit, func(p *rules.Packet) { p.NDTarget = netip.MustParseAddr(target) })
	}
	advert := arrives(nd("eth0", "fe80::1", "ff02::1", 134))
	return []sight{
		{"lock", "DHCP", ask, "out-dhcp out-dhcp: accept"},
		{"lock", "DHCP's renewal", dhcp("192.168.1.101:68", "192.168.1.1:67", 1), "out-dhcp out-dhcp: accept"},
		{"lock", "DHCP to a neighbour of a public address", dhcp("198.51.100.5:68", "198.51.100.1:67", 1), "out-dhcp fence-end: drop"},
		{"lock", "DHCP to a neighbour of a public address by its wire", with(dhcp("198.51.100.5:68", "198.51.100.1:67", 1), func(p *rules.Packet) { p.Out = "wlan0" }), "out-dhcp out-dhcp: accept"},
		{"lock", "DHCP to a public address", dhcp("192.168.1.101:68", "8.8.8.8:67", 1), ended},
		{"lock", "DHCP in pieces", with(ask, func(p *rules.Packet) { p.Trailing = true }), ended},
		{"lock", "DHCP by a packet socket", raw(ask), "out-dhcp: accept"},
		{"lock", "DHCP to a public address", dhcp("192.168.1.101:68", "8.8.8.8:67", 1), ended},
		{"lock", "a later fragment like DHCP", with(ask, func(p *rules.Packet) { p.Trailing = true }), ended},
		{"lock", "DHCP without its cookie", with(ask, func(p *rules.Packet) { p.DHCPOp = 0 }), ended},
		{"lock", "DHCP's answer sent by the host", dhcp("0.0.0.0:68", "255.255.255.255:67", 2), ended},
		{"lock", "DHCP from another port", dhcp("0.0.0.0:69", "255.255.255.255:67", 1), ended},
		{"lock", "DHCP to the client's port", dhcp("0.0.0.0:68", "255.255.255.255:68", 1), ended},
		{"lock", "DHCP by TCP", with(ask, func(p *rules.Packet) { p.Proto = rules.ProtoTCP }), reset},
		{"lock", "DHCPv6", ask6, "out-dhcpv6 out-dhcpv6: accept"},
		{"lock", "DHCPv6 to one server", udp("eth0", "[fe80::2]:546", "[fe80::1]:547"), ended},
		{"lock", "DHCPv6 from a global address", udp("eth0", "[2001:db8:1::101]:546", "[ff02::1:2]:547"), ended},
		{"lock", "DHCPv6 to another port", udp("eth0", "[fe80::2]:546", "[ff02::1:2]:546"), ended},
		{"lock", "neighbour solicitation", solicit, "out-nd fence-nd-fe80::/10: accept"},
		{"lock", "neighbour solicitation for a unique local address", about("fd00::7"), "out-nd fence-nd-fc00::/7: accept"},
		{"lock", "neighbour solicitation for a public address", about("2001:db8:80::80"), "out-nd fence-end: drop"},
		{"lock", "neighbour solicitation for an address of the link", with(about("2001:db8:1::1"), func(p *rules.Packet) { p.Out = "wlan0" }), "out-nd fence-nd-2001:db8:1::/64: accept"},
		{"lock", "neighbour solicitation for the host's own new address", with(about("2001:db8:1::101"), func(p *rules.Packet) { p.Src = netip.IPv6Unspecified() }), "out-nd fence-nd-own: accept"},
		{"lock", "neighbour advertisement", nd("eth0", "fe80::2", "fe80::1", 136), "out-nd fence-nd: accept"},
		{"lock", "router solicitation", nd("eth0", "fe80::2", "ff02::2", 133), "out-nd fence-nd: accept"},
		{"lock", "router advertisement by the host", nd("eth0", "fe80::2", "ff02::1", 134), ended},
		{"lock", "redirect by the host", nd("eth0", "fe80::2", "fe80::1", 137), ended},
		{"lock", "listener report", nd("eth0", "fe80::2", "ff02::16", 143), ended},
		{"lock", "neighbour solicitation that was routed", with(solicit, func(p *rules.Packet) { p.HopLimit = 254 }), ended},
		{"lock", "neighbour solicitation with a code", with(solicit, func(p *rules.Packet) { p.Code = 1 }), ended},
		{"lock", "neighbour solicitation with freight", with(solicit, func(p *rules.Packet) { p.Length = 73 }), ended},
		{"lock", "neighbour solicitation just without freight", with(solicit, func(p *rules.Packet) { p.Length = 72 }), "out-nd fence-nd-fe80::/10: accept"},
		{"lock", "neighbour solicitation in pieces", trailing(solicit), ended},
		{"lock", "ICMP of that type", with(icmp("eth0", "192.168.1.101", "192.168.1.1", 135, 0), func(p *rules.Packet) { p.HopLimit = 255 }), ended},
		{"lock", "DHCP's answer", answer, "in-dhcp in-dhcp: accept"},
		{"lock", "DHCP's answer by nobody's route", with(answer, func(p *rules.Packet) { p.SrcReachableByIn = false }), "in-dhcp in-dhcp: accept"},
		{"lock", "a question of DHCP", arrives(dhcp("192.168.1.1:67", "255.255.255.255:68", 1)), silent},
		{"lock", "DHCP's answer from another port", arrives(dhcp("192.168.1.1:68", "255.255.255.255:68", 2)), silent},
		{"lock", "DHCPv6's answer", answer6, "in-dhcpv6 in-dhcpv6: accept"},
		{"lock", "DHCPv6's answer from afar", arrives(udp("eth0", "[2001:db8::1]:547", "[fe80::2]:546")), silent},
		{"lock", "router advertisement", advert, "in-nd in-nd: accept"},
		{"lock", "router advertisement with resolvers and domains", with(advert, func(p *rules.Packet) { p.Length = 160 }), "in-nd in-nd: accept"},
		{"lock", "router advertisement that was routed", with(advert, func(p *rules.Packet) { p.HopLimit = 254 }), silent},
		{"lock", "neighbour solicitation of the LAN", arrives(solicit), "in-nd in-nd: accept"},
		{"lock", "redirect", arrives(nd("eth0", "fe80::1", "fe80::2", 137)), silent},
		{"lock", "redirect of IPv4", arrives(icmp("eth0", "192.168.1.1", "192.168.1.101", 5, 1)), silent},
		{"lock", "router solicitation of the LAN", arrives(nd("eth0", "fe80::3", "ff02::2", 133)), silent},
	}
}

func inSights() []sight {
	est := func(p rules.Packet) rules.Packet { return state(rules.CTEstablished, arrives(p)) }
	answer := est(udp("eth0", server4, lan4))
	unreachable := state(rules.CTRelated, arrives(icmp("eth0", "198.51.100.1", "192.168.1.101", 3, 4)))
	tooBig := state(rules.CTRelated, arrives(with(ip("eth0", rules.ProtoICMPv6, "2001:db8:c::1", "2001:db8:1::101"), func(p *rules.Packet) { p.Type = 2 })))
	spoofed := arrives(tcp("eth0", "8.8.8.8:443", "192.168.1.101:40000"))
	spoofed.SrcReachableByIn = false
	oracle := arrives(tcp("eth0", "192.168.1.1:443", "10.8.0.2:40000"))
	oracle.DstOnIn = false
	return []sight{
		{"full", "loopback", arrives(tcp("lo", "127.0.0.1:1", "127.0.0.1:2")), "pre-inside-lo in-loopback: accept"},
		{"full", "carrier's answer", answer, "pre-carrier0_ip4 in-carrier0_ip4: accept"},
		{"full", "carrier's answer over IPv6", est(tcp("eth0", server6, lan6)), "pre-carrier0_ip6 in-carrier0_ip6: accept"},
		{"full", "the other carrier's answer", est(udp("eth0", second4, lan4)), "pre-carrier1_ip4 in-carrier1_ip4: accept"},
		{"full", "the other carrier's answer over IPv6", est(udp("eth0", second6, lan6)), "pre-carrier1_ip6 in-carrier1_ip6: accept"},
		{"full", "a server that begins", state(rules.CTNew, answer), "pre-carrier0_ip4 in-end: drop"},
		{"full", "the server from another port", est(udp("eth0", "203.0.113.10:1195", lan4)), silent},
		{"full", "the server by another protocol", est(tcp("eth0", server4, lan4)), silent},
		{"full", "fragmentation needed", unreachable, "policy in-icmp-error: accept"},
		{"full", "fragmentation needed for no flow", state(rules.CTNew, unreachable), silent},
		{"full", "echo of a flow", state(rules.CTRelated, arrives(icmp("eth0", "198.51.100.1", "192.168.1.101", 8, 0))), silent},
		{"full", "redirect of a flow", state(rules.CTRelated, arrives(icmp("eth0", "192.168.1.1", "192.168.1.101", 5, 1))), silent},
		{"full", "packet too big", tooBig, "policy in-icmp6-error: accept"},
		{"full", "packet too big for no flow", state(rules.CTInvalid, tooBig), silent},
		{"lock", "fragmentation needed, without a carrier", unreachable, silent},
		{"full", "inside", arrives(tcp("tun0", "8.8.8.8:443", tun4)), "pre-inside-tun0 in-tunnel-tun0: accept"},
		{"full", "inside the other tunnel", arrives(tcp("tun1", "8.8.8.8:443", "10.9.0.2:40000")), "pre-inside-tun1 in-tunnel-tun1: accept"},
		{"full", "the tunnel's address from the LAN", oracle, "pre-strong-host: drop"},
		{"full", "the tunnel's address from the LAN, established", state(rules.CTEstablished, oracle), "pre-strong-host: drop"},
		{"split", "the tunnel's address from the LAN", oracle, "pre-strong-host: drop"},
		{"full", "a spoofed source", spoofed, "pre-reverse-path: drop"},
		{"split", "a spoofed source", spoofed, "pre-reverse-path: drop"},
		{"full", "a carrier's answer whose route depends on a mark", with(answer, func(p *rules.Packet) { p.SrcReachableByIn = false }), "pre-carrier0_ip4 in-carrier0_ip4: accept"},
		{"full", "an answer of the web in clear", est(tcp("eth0", "93.184.216.34:443", lan4)), silent},
		{"full", "the LAN", arrives(tcp("eth0", "192.168.1.1:50000", "192.168.1.101:22")), silent},
		{"full", "echo of the LAN", arrives(icmp("eth0", "192.168.1.1", "192.168.1.101", 8, 0)), silent},
		{"split", "the web", arrives(tcp("eth0", "93.184.216.34:443", lan4)), "policy policy: accept"},
		{"allowing", "a guest", arrives(tcp("docker0", "172.17.0.2:80", "172.17.0.1:40000")), "pre-inside-docker0 in-guest-docker0: accept"},
		{"allowing", "another guest", arrives(tcp("virbr0", "192.168.122.2:80", "192.168.122.1:40000")), "pre-inside-virbr0 in-guest-virbr0: accept"},
		{"allowing", "the LAN", arrives(tcp("eth0", "192.168.1.1:50000", "192.168.1.101:80")), "policy in-lan4: accept"},
		{"allowing", "the LAN over IPv6", arrives(tcp("eth0", "[fe80::1]:50000", "[fe80::2]:80")), "policy in-lan6: accept"},
		{"allowing", "a service", state(rules.CTNew, arrives(tcp("eth0", "198.51.100.7:50000", "192.168.1.101:22"))), "policy in-service-tcp22: accept"},
		{"allowing", "a service with a range", est(udp("eth0", "198.51.100.7:50000", "192.168.1.101:5000")), "policy in-service-udp5000-5010: accept"},
		{"allowing", "the port below the range", est(udp("eth0", "198.51.100.7:50000", "192.168.1.101:4999")), silent},
		{"allowing", "a service's port by another protocol", est(udp("eth0", "198.51.100.7:50000", "192.168.1.101:22")), silent},
		{"allowing", "a service out of state", state(rules.CTInvalid, arrives(tcp("eth0", "198.51.100.7:50000", "192.168.1.101:22"))), silent},
	}
}

func forwardSights() []sight {
	web := tcp("tun0", "172.17.0.2:40000", "93.184.216.34:443")
	back := routed("tun0", tcp("docker0", "93.184.216.34:443", "172.17.0.2:40000"))
	swap := func(in, out string, p rules.Packet) rules.Packet { p.In, p.Out = in, out; return p }
	return []sight{
		{"allowing", "a guest into the tunnel", routed("docker0", web), "pre-inside-docker0 fwd-out-docker0/tun0: accept"},
		{"allowing", "a guest into the other tunnel", swap("docker0", "tun1", routed("docker0", web)), "pre-inside-docker0 fwd-out-docker0/tun1: accept"},
		{"allowing", "another guest into the tunnel", routed("virbr0", web), "pre-inside-virbr0 fwd-out-virbr0/tun0: accept"},
		{"allowing", "another guest into the other tunnel", swap("virbr0", "tun1", routed("virbr0", web)), "pre-inside-virbr0 fwd-out-virbr0/tun1: accept"},
		{"allowing", "an answer to a guest", state(rules.CTEstablished, back), "pre-inside-tun0 fwd-in-docker0/tun0: accept"},
		{"allowing", "an error for a guest", state(rules.CTRelated, swap("tun1", "docker0", back)), "pre-inside-tun1 fwd-in-docker0/tun1: accept"},
		{"allowing", "an answer to another guest", state(rules.CTEstablished, swap("tun0", "virbr0", back)), "pre-inside-tun0 fwd-in-virbr0/tun0: accept"},
		{"allowing", "an answer to another guest by the other tunnel", state(rules.CTEstablished, swap("tun1", "virbr0", back)), "pre-inside-tun1 fwd-in-virbr0/tun1: accept"},
		{"allowing", "the tunnel begins", state(rules.CTNew, back), "pre-inside-tun0 fwd-end: reject"},
		{"allowing", "guests", swap("docker0", "virbr0", routed("docker0", web)), "pre-inside-docker0 fwd-guest-docker0/virbr0: accept"},
		{"allowing", "guests, back", swap("virbr0", "docker0", routed("virbr0", web)), "pre-inside-virbr0 fwd-guest-virbr0/docker0: accept"},
		{"allowing", "guests of one bridge", swap("docker0", "docker0", routed("docker0", web)), "pre-inside-docker0 fwd-guest-docker0/docker0: accept"},
		{"allowing", "guests of the other bridge", swap("virbr0", "virbr0", routed("virbr0", web)), "pre-inside-virbr0 fwd-guest-virbr0/virbr0: accept"},
		{"allowing", "a guest to the wire", swap("docker0", "eth0", routed("docker0", web)), "pre-inside-docker0 fwd-end: reject"},
		{"allowing", "a guest to the wire, established", state(rules.CTEstablished, swap("docker0", "eth0", routed("docker0", web))), "pre-inside-docker0 fwd-end: reject"},
		{"allowing", "a guest to the server", routed("docker0", udp("eth0", "172.17.0.2:40000", server4)), "pre-inside-docker0 fwd-end: reject"},
		{"allowing", "the wire into the tunnel", routed("eth0", web), "policy fwd-end: reject"},
		{"allowing", "the wire to a guest", state(rules.CTEstablished, swap("eth0", "docker0", back)), "policy fwd-end: reject"},
		{"full", "a guest that is not named", routed("docker0", web), "policy fwd-end: reject"},
		{"split", "a guest inside", routed("docker0", tcp("tun0", "172.17.0.2:40000", "10.66.0.1:80")), "pre-inside-docker0 policy: accept"},
		{"split", "a guest inside by the wire", routed("docker0", tcp("eth0", "172.17.0.2:40000", "10.66.0.1:80")), "pre-inside-docker0 fwd-inside4/16: reject"},
		{"split", "a guest in a long prefix by the wire", routed("docker0", tcp("eth0", "172.17.0.2:40000", "10.8.0.77:80")), "pre-inside-docker0 fwd-inside4/24: reject"},
		{"split", "a guest inside by the wire over IPv6", routed("docker0", tcp("eth0", "[fd00:17::2]:40000", "[fd00:8::77]:80")), "pre-inside-docker0 fwd-inside6/64: reject"},
		{"split", "a guest to the server", routed("docker0", udp("eth0", "172.17.0.2:40000", server4)), "pre-inside-docker0 fwd-server4: reject"},
		{"split", "a guest to the server over IPv6", routed("docker0", tcp("eth0", "[fd00:17::2]:40000", server6)), "pre-inside-docker0 fwd-server6: reject"},
		{"split", "a guest to the web", routed("docker0", tcp("eth0", "172.17.0.2:40000", "93.184.216.34:443")), "pre-inside-docker0 policy policy: accept"},
	}
}

func fenceSights() []sight {
	resolve := arp("eth0", "192.168.1.101", "192.168.1.1")
	none := "fence-end: drop"
	return []sight{
		{"lock", "ARP", resolve, "fence-arp: accept"},
		{"lock", "ARP that is no ARP for IPv4", with(resolve, func(p *rules.Packet) { p.ARPForm = false }), none},
		{"lock", "ARP for a public address", arp("eth0", "192.168.1.101", "8.8.8.8"), none},
		{"full", "ARP that tells the tunnel's address", arp("eth0", "10.8.0.2", "192.168.1.1"), "fence-arp-tunnel: drop"},
		{"full", "ARP that tells the other tunnel's address", arp("eth0", "10.9.0.2", "192.168.1.1"), "fence-arp-tunnel: drop"},
		{"split", "ARP that tells the tunnel's address", arp("eth0", "10.8.0.2", "192.168.1.1"), "fence-arp-tunnel: drop"},
		{"split", "ARP", resolve, "policy: accept"},
		{"lock", "authentication to the LAN", rules.Packet{Path: rules.RawFrame, Out: "eth0", Ether: 0x888e}, "fence-eapol: accept"},
		{"lock", "another EtherType", rules.Packet{Path: rules.RawFrame, Out: "eth0", Ether: 0x88b5}, none},
		{"lock", "LLDP", rules.Packet{Path: rules.RawFrame, Out: "eth0", Ether: 0x88cc}, none},
		{"full", "a raw frame in clear", raw(udp("eth0", lan4, "93.184.216.34:443")), none},
		{"full", "a raw frame in clear over IPv6", raw(udp("eth0", lan6, "[2001:db8:80::80]:443")), none},
		{"full", "a raw frame with a question", raw(udp("eth0", lan4, "9.9.9.9:53")), none},
		{"full", "a raw frame to the server's other port", raw(udp("eth0", lan4, "203.0.113.10:53")), none},
		{"full", "a raw frame to another's port of the server", raw(udp("eth0", lan4, "203.0.113.10:51820")), none},
		{"full", "a raw echo to the server", raw(icmp("eth0", "192.168.1.101", "203.0.113.10", 8, 0)), none},
		{"full", "a carrier's later fragment", raw(trailing(udp("eth0", lan4, server4))), "fence-fragment4: accept"},
		{"full", "a carrier's later fragment over IPv6", raw(trailing(tcp("eth0", lan6, server6))), "fence-fragment6: accept"},
		{"full", "a later fragment to somebody else", raw(trailing(udp("eth0", lan4, "9.9.9.9:53"))), none},
		{"full", "a macvlan child's neighbour solicitation", raw(nd("eth0", "fe80::7", "ff02::1:ff00:1", 135)), "fence-nd-fe80::/10: accept"},
		{"full", "a macvlan child's listener report", raw(nd("eth0", "fe80::7", "ff02::16", 143)), none},
		{"full", "a raw DHCPv6", raw(udp("eth0", "[fe80::2]:546", "[ff02::1:2]:547")), "out-dhcpv6: accept"},
		{"allowing", "a raw frame to a server", raw(tcp("eth0", lan4, "203.0.113.10:22")), "fence-server4: drop"},
		{"allowing", "a raw frame to a server over IPv6", raw(udp("eth0", lan6, server6)), "fence-server6: drop"},
		{"allowing", "a raw question to the LAN", raw(udp("eth0", lan4, "192.168.1.1:53")), "fence-dns: drop"},
		{"allowing", "a raw mDNS", raw(udp("eth0", lan4, "224.0.0.251:5353")), "fence-names: drop"},
		{"allowing", "a raw question from a service's port", raw(tcp("eth0", "192.168.1.101:22", "8.8.8.8:53")), "fence-dns: drop"},
		{"allowing", "a raw frame to the LAN", raw(udp("eth0", lan4, "192.168.1.9:9")), "fence-lan4: accept"},
		{"allowing", "a raw frame to the LAN over IPv6", raw(udp("eth0", lan6, "[fe80::9]:9")), "fence-lan6: accept"},
		{"allowing", "a raw frame in clear", raw(udp("eth0", lan4, "93.184.216.34:443")), none},
		{"split", "a raw frame to the server by TCP", raw(tcp("eth0", lan4, server4)), "fence-server4: drop"},
		{"split", "a raw frame to the server over IPv6", raw(udp("eth0", lan6, server6)), "fence-server6: drop"},
		{"split", "a raw question", raw(udp("eth0", lan4, "9.9.9.9:53")), "fence-dns: drop"},
		{"split", "a raw frame to the inside", raw(udp("eth0", lan4, "10.66.0.1:80")), "fence-inside4/16: drop"},
		{"split", "a raw frame to a long prefix inside", raw(udp("eth0", lan4, "10.8.0.77:80")), "fence-inside4/24: drop"},
		{"split", "a raw frame to the inside over IPv6", raw(udp("eth0", lan6, "[fd00:8::77]:80")), "fence-inside6/64: drop"},
	}
}
