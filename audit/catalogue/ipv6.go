package catalogue

import "github.com/vpnguard/vpnguard/audit/evidence"

var ipv6 = []Entry{
	{ID: "ipv6-native", Class: IPv6, Severity: evidence.Critical, Where: Namespaces,
		Title:  "a host with IPv6 and a tunnel without",
		Why:    "every destination with an IPv6 address is reached in clear",
		Packet: "IPv6 to an internet address on the wire",
		Closed: "out-end is of family inet", Limits: "tested with a tunnel that has no IPv6"},
	{ID: "ipv6-reenable", Class: IPv6, Severity: evidence.High, Where: Namespaces,
		Title:  "IPv6 that was switched off comes back",
		Why:    "one write by a network manager undoes disable_ipv6",
		Packet: "IPv6 on the wire after the interface's key was set to 0",
		Closed: "rules, not the key: out-end", Limits: "the write and the router advertisement are made as a network manager would"},
	{ID: "ipv6-eui64", Class: IPv6, Severity: evidence.Low, Where: Namespaces,
		Title:  "addresses made of the card's link address",
		Why:    "an identifier that stays from network to network",
		Packet: "a source address or group report with ff:fe in it",
		Closed: "addr_gen_mode or use_tempaddr, the host's own settings; the rules keep reports off the wire",
		Limits: "what link upkeep tells of the link-local address remains, and is explained"},
}
