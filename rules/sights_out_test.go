package rules_test

import "github.com/vpnguard/vpnguard/rules"

const (
	server4 = "203.0.113.10:1194"
	server6 = "[2001:db8:5::10]:443"
	second4 = "203.0.113.11:51820"
	second6 = "[2001:db8:5::11]:51820"
	ended   = "out-end: reject"
	reset   = "out-end-tcp: reject"
)

// carrierSights: the hole is address and protocol and port and owner.
func carrierSights() []sight {
	own := by(0, udp("eth0", lan4, server4))
	own6 := by(0, tcp("eth0", lan6, server6))
	two := marked(udp("eth0", lan4, second4))
	return []sight{
		{"full", "carrier", own, "out-carrier0_ip4-uid0 fence-carrier4: accept"},
		{"full", "carrier after the privilege drop", by(65534, own), "out-carrier0_ip4-uid65534 fence-carrier4: accept"},
		{"full", "carrier over IPv6", own6, "out-carrier0_ip6-uid0 fence-carrier6: accept"},
		{"full", "carrier over IPv6 after the privilege drop", by(65534, own6), "out-carrier0_ip6-uid65534 fence-carrier6: accept"},
		{"full", "carrier by mark and cgroup", two, "out-carrier1_ip4 fence-carrier4: accept"},
		{"full", "carrier by mark and cgroup over IPv6", marked(udp("eth0", lan6, second6)), "out-carrier1_ip6 fence-carrier6: accept"},
		{"full", "foreign bits of the mark do not count", with(two, func(p *rules.Packet) { p.Mark = 0xab51 }), "out-carrier1_ip4 fence-carrier4: accept"},
		{"full", "carrier on a wire without a fence", by(0, udp("eth1", lan4, server4)), "out-carrier0_ip4-uid0: accept"},
		{"full", "carrier by another uid", by(1000, own), ended},
		{"full", "carrier by the uid next to it", by(1, own), ended},
		{"full", "carrier without a socket", orphan(own), ended},
		{"full", "carrier to another port", by(0, udp("eth0", lan4, "203.0.113.10:1195")), ended},
		{"full", "carrier from the port instead of to it", by(0, udp("eth0", "192.168.1.101:1194", "203.0.113.10:40000")), ended},
		{"full", "carrier by another protocol", by(0, tcp("eth0", lan4, server4)), reset},
		{"full", "carrier to another address", by(0, udp("eth0", lan4, "203.0.113.12:1194")), ended},
		{"full", "carrier to another server's port", by(0, udp("eth0", lan4, "203.0.113.10:51820")), ended},
		{"full", "another owner to the first's server", marked(udp("eth0", lan4, server4)), ended},
		{"full", "the first owner to another's server", by(0, udp("eth0", lan4, second4)), ended},
		{"full", "mark without cgroup", with(two, func(p *rules.Packet) { p.Cgroup = 78 }), ended},
		{"full", "cgroup without mark", with(two, func(p *rules.Packet) { p.Mark = 0 }), ended},
		{"full", "cgroup with another mark", with(two, func(p *rules.Packet) { p.Mark = 0x53 }), ended},
		{"full", "mark without a socket", orphan(two), ended},
		{"full", "a later fragment of a carrier before it is put together", trailing(own), ended},
		{"full", "a later fragment whose bytes look like its ports", with(own, func(p *rules.Packet) { p.Trailing = true }), "out-carrier0_ip4-uid0 fence-carrier4: accept"},
		{"full", "echo to the server", by(0, icmp("eth0", "192.168.1.101", "203.0.113.10", 8, 0)), ended},
		{"lock", "carrier without an endpoint", own, ended},
		{"allowing", "carrier in the LAN", by(0, udp("eth0", lan4, "192.168.1.50:1194")), "out-carrier0_ip4-uid0 fence-carrier4: accept"},
	}
}

func nameSights() []sight {
	return []sight{
		{"full", "the session's resolver", udp("tun0", tun4, "10.8.0.1:53"), "out-resolver-tun0/ip4: accept"},
		{"full", "the session's resolver by TLS", tcp("tun0", tun4, "10.8.0.1:853"), "out-resolver-tun0/ip4: accept"},
		{"full", "the session's resolver over IPv6", udp("tun0", tun6, "[fd00:8::1]:53"), "out-resolver-tun0/ip6: accept"},
		{"full", "the session's resolver by the wire", udp("eth0", lan4, "10.8.0.1:53"), "out-dns-udp: reject"},
		{"full", "the session's resolver by another tunnel", udp("tun00", tun4, "10.8.0.1:53"), "out-dns-udp: reject"},
		{"full", "another resolver inside", udp("tun0", tun4, "1.1.1.1:53"), "out-dns-udp: reject"},
		{"full", "any resolver where the session named none", udp("tun1", "10.9.0.2:40000", "1.1.1.1:53"), "out-resolver-tun1: accept"},
		{"full", "the LAN's resolver", udp("eth0", lan4, "192.168.1.1:53"), "out-dns-udp: reject"},
		{"full", "the LAN's resolver by TCP", tcp("eth0", lan4, "192.168.1.1:53"), "out-dns-tcp: reject"},
		{"full", "DNS over TLS", tcp("eth0", lan6, "[2001:db8::53]:853"), "out-dns-tcp: reject"},
		{"full", "DNS over QUIC", udp("eth0", lan4, "9.9.9.9:853"), "out-dns-udp: reject"},
		{"full", "the port below", udp("eth0", lan4, "9.9.9.9:52"), ended},
		{"full", "another protocol than TCP and UDP", ip("eth0", 132, lan4, "9.9.9.9:53"), ended},
		{"full", "mDNS", udp("eth0", lan4, "224.0.0.251:5353"), "out-names: reject"},
		{"full", "LLMNR", udp("eth0", lan6, "[ff02::1:3]:5355"), "out-names: reject"},
		{"full", "LLMNR by TCP", tcp("eth0", lan4, "192.168.1.7:5355"), "out-names: reject"},
		{"full", "NetBIOS", udp("eth0", lan4, "192.168.1.255:138"), "out-names: reject"},
		{"full", "SSDP", udp("eth0", lan4, "239.255.255.250:1900"), "out-names: reject"},
		{"full", "WS-Discovery", udp("eth0", lan4, "239.255.255.250:3702"), "out-names: reject"},
		{"full", "mDNS inside the tunnel", inTunnel(udp("tun0", tun4, "224.0.0.251:5353")), "out-tunnel-tun0: accept"},
		{"allowing", "mDNS while the LAN is allowed", udp("eth0", lan4, "224.0.0.251:5353"), "out-names: reject"},
		{"allowing", "the LAN's resolver while the LAN is allowed", tcp("eth0", lan4, "192.168.1.1:853"), "out-dns-tcp: reject"},
		{"split", "the LAN's resolver", udp("eth0", lan4, "192.168.1.1:53"), "out-dns-udp: reject"},
		{"split", "the session's resolver", udp("tun0", tun4, "10.8.0.1:53"), "out-resolver-tun0/ip4: accept"},
	}
}

func outSights() []sight {
	ssh := reply(tcp("eth0", "192.168.1.101:22", "198.51.100.7:50000"))
	return []sight{
		{"lock", "loopback", udp("lo", "127.0.0.1:40000", "127.0.0.1:53"), "out-loopback: accept"},
		{"lock", "an address of loopback on the wire", udp("eth0", lan4, "127.0.0.1:40001"), ended},
		{"full", "inside", inTunnel(tcp("tun0", tun4, "8.8.8.8:443")), "out-tunnel-tun0: accept"},
		{"full", "inside the other tunnel", inTunnel(tcp("tun1", "10.9.0.2:40000", "8.8.8.8:443")), "out-tunnel-tun1: accept"},
		{"full", "the LAN's address inside", udp("tun0", lan4, "8.8.8.8:443"), "out-source-tun0: reject"},
		{"full", "the LAN's address inside the other tunnel", udp("tun1", lan4, "8.8.8.8:443"), "out-source-tun1: reject"},
		{"full", "a TCP flow from before, inside", tcp("tun0", lan4, "8.8.8.8:443"), "out-source-tun0-tcp: reject"},
		{"full", "a TCP flow from before, inside the other tunnel", tcp("tun1", lan4, "8.8.8.8:443"), "out-source-tun1-tcp: reject"},
		{"full", "a device whose name begins like a tunnel's", inTunnel(tcp("tun01", tun4, "8.8.8.8:443")), reset},
		{"full", "the web in clear", tcp("eth0", lan4, "93.184.216.34:443"), reset},
		{"full", "the web in clear over IPv6", tcp("eth0", lan6, "[2001:db8:80::80]:443"), reset},
		{"full", "QUIC in clear", by(0, udp("eth0", lan4, "93.184.216.34:443")), ended},
		{"full", "echo in clear", icmp("eth0", "192.168.1.101", "93.184.216.34", 8, 0), ended},
		{"full", "6in4", ip("eth0", 41, "192.168.1.101", "192.88.99.1"), ended},
		{"full", "a flow from before", state(rules.CTEstablished, tcp("eth0", lan4, "93.184.216.34:443")), reset},
		{"full", "the kernel's reset of an orphan", orphan(tcp("eth0", lan4, "93.184.216.34:443")), reset},
		{"full", "a later fragment", trailing(udp("eth0", lan4, "9.9.9.9:53")), ended},
		{"full", "the LAN", tcp("eth0", lan4, "192.168.1.1:80"), reset},
		{"full", "answers of a service that is not allowed", ssh, reset},
		{"full", "a guest that is not named", tcp("docker0", "172.17.0.1:40000", "172.17.0.2:80"), reset},
		{"allowing", "a guest", tcp("docker0", "172.17.0.1:40000", "172.17.0.2:80"), "out-guest-docker0: accept"},
		{"allowing", "another guest", tcp("virbr0", "192.168.122.1:40000", "192.168.122.2:80"), "out-guest-virbr0: accept"},
		{"allowing", "the LAN", tcp("eth0", lan4, "192.168.1.1:80"), "out-lan4 fence-lan4: accept"},
		{"allowing", "the LAN over IPv6", tcp("eth0", "[fe80::2]:40000", "[fe80::1]:80"), "out-lan6 fence-lan6: accept"},
		{"allowing", "a server in the LAN by TCP", tcp("eth0", lan4, "192.168.1.50:22"), "out-server4-tcp: reject"},
		{"allowing", "a server in the LAN by another uid", udp("eth0", lan4, "192.168.1.50:1194"), "out-server4: reject"},
		{"allowing", "a server over IPv6 by TCP", tcp("eth0", lan6, "[2001:db8:5::10]:80"), "out-server6-tcp: reject"},
		{"allowing", "a server over IPv6", udp("eth0", lan6, "[2001:db8:5::10]:443"), "out-server6: reject"},
		{"allowing", "what borders on the LAN's ranges", tcp("eth0", lan4, "172.32.0.1:80"), reset},
		{"allowing", "multicast is not the LAN", udp("eth0", lan4, "239.1.2.3:4000"), ended},
		{"allowing", "a public prefix that the LAN claims", tcp("eth0", "8.8.8.77:40000", "8.8.8.8:443"), reset},
		{"allowing", "answers of a service", ssh, "out-service-tcp22 fence-service-tcp22: accept"},
		{"allowing", "answers of a service with a range", reply(udp("eth0", "192.168.1.101:5010", "198.51.100.7:50000")), "out-service-udp5000-5010 fence-service-udp5000-5010: accept"},
		{"allowing", "the port behind the range", reply(udp("eth0", "192.168.1.101:5011", "198.51.100.7:50000")), ended},
		{"allowing", "a service's port by another protocol", reply(udp("eth0", "192.168.1.101:22", "198.51.100.7:50000")), ended},
		{"allowing", "a flow that begins at a service's port", state(rules.CTNew, tcp("eth0", "192.168.1.101:22", "198.51.100.7:50000")), reset},
		{"allowing", "a session's segment before tracking knew it", midstream(state(rules.CTNew, tcp("eth0", "192.168.1.101:22", "198.51.100.7:50000"))), "out-hold-tcp22: drop"},
		{"allowing", "a segment of what began at a service's port", midstream(state(rules.CTEstablished, tcp("eth0", "192.168.1.101:22", "198.51.100.7:50000"))), "out-hold-tcp22: drop"},
		{"allowing", "the same, answered", state(rules.CTEstablished, tcp("eth0", "192.168.1.101:22", "198.51.100.7:50000")), reset},
	}
}

// apartSights: the program that tells names apart asks others than the tunnel's
// resolvers, and nobody else does.
func apartSights() []sight {
	return []sight{
		{"apart", "a program that asks the LAN's resolver", udp("eth0", lan4, "192.168.1.1:53"), "out-dns-udp: reject"},
		{"apart", "a program that asks the LAN's resolver by TCP", tcp("eth0", lan4, "192.168.1.1:53"), "out-dns-tcp: reject"},
		{"apart", "the asker, the LAN's resolver", by(990, udp("eth0", lan4, "192.168.1.1:53")), "out-dns-asker fence-dns-asker: accept"},
		{"apart", "the asker, the LAN's resolver by TLS", by(990, tcp("eth0", lan6, "[fe80::1]:853")), "out-dns-asker fence-dns-asker: accept"},
		{"apart", "the asker, the session's resolver", by(990, udp("tun0", tun4, "10.8.0.1:53")), "out-resolver-tun0/ip4: accept"},
		{"apart", "the asker, another resolver inside", by(990, udp("tun0", tun4, "10.66.0.9:53")), "out-dns-udp: reject"},
		{"apart", "the asker, the session's resolver by the wire", by(990, udp("eth0", lan4, "10.8.0.1:53")), "out-dns-inside4/24: reject"},
		{"apart", "the asker, a long way inside by the wire", by(990, tcp("eth0", lan4, "10.66.0.1:53")), "out-dns-inside4/16: reject"},
		{"apart", "the asker, the session's resolver by the wire over IPv6", by(990, udp("eth0", lan6, "[fd00:8::1]:53")), "out-dns-inside6/64: reject"},
		{"apart", "the asker, the server", by(990, udp("eth0", lan4, "203.0.113.10:53")), "out-dns-server4: reject"},
		{"apart", "the asker, the server over IPv6", by(990, tcp("eth0", lan6, "[2001:db8:5::10]:53")), "out-dns-server6: reject"},
		{"apart", "the asker, mDNS", by(990, udp("eth0", lan4, "224.0.0.251:5353")), "out-names: reject"},
		{"apart", "a question without a socket", orphan(udp("eth0", lan4, "192.168.1.1:53")), "out-dns-udp: reject"},
		{"apart", "a raw question", raw(udp("eth0", lan4, "9.9.9.9:53")), "fence-dns: drop"},
		{"apart", "a raw question to the session's resolver", raw(udp("eth0", lan4, "10.8.0.1:53")), "fence-inside4/24: drop"},
		{"apart", "the web in clear", tcp("eth0", lan4, "93.184.216.34:443"), "policy policy: accept"},
	}
}

func splitSights() []sight {
	return []sight{
		{"split", "loopback", udp("lo", "127.0.0.1:40000", "127.0.0.53:53"), "out-loopback: accept"},
		{"split", "the web in clear", tcp("eth0", lan4, "93.184.216.34:443"), "policy policy: accept"},
		{"split", "inside", tcp("tun0", tun4, "10.66.0.1:80"), "out-tunnel-tun0: accept"},
		{"split", "inside by the wire", udp("eth0", lan4, "10.66.0.1:80"), "out-inside4/16: reject"},
		{"split", "a long prefix inside by the wire", udp("eth0", lan4, "10.8.0.77:80"), "out-inside4/24: reject"},
		{"split", "a short prefix inside by the wire by TCP", tcp("eth0", lan4, "10.66.0.1:80"), "out-inside4/16-tcp: reject"},
		{"split", "inside by the wire by TCP", tcp("eth0", lan4, "10.8.0.77:80"), "out-inside4/24-tcp: reject"},
		{"split", "inside by the wire over IPv6", udp("eth0", lan6, "[fd00:8::77]:80"), "out-inside6/64: reject"},
		{"split", "inside by the wire over IPv6 by TCP", tcp("eth0", lan6, "[fd00:8::77]:80"), "out-inside6/64-tcp: reject"},
		{"split", "what borders on the inside", tcp("eth0", lan4, "10.67.0.1:80"), "policy policy: accept"},
		{"split", "carrier", by(0, udp("eth0", lan4, server4)), "out-carrier0_ip4-uid0 fence-carrier4: accept"},
		{"split", "the server by another uid", udp("eth0", lan4, server4), "out-server4: reject"},
		{"split", "the server by TCP", tcp("eth0", lan4, "203.0.113.10:80"), "out-server4-tcp: reject"},
		{"split", "the server over IPv6", udp("eth0", lan6, server6), "out-server6: reject"},
		{"split", "the server over IPv6 by TCP", tcp("eth0", lan6, "[2001:db8:5::10]:80"), "out-server6-tcp: reject"},
	}
}
