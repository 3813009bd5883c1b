// Package site names the addresses of the laboratory.
package site

import (
	"fmt"
	"net"
	"net/netip"
)

// Documentation ranges, and a few public literals that exist only inside.
var (
	Client   = netip.MustParseAddr("192.168.1.101")
	Client6  = netip.MustParseAddr("2001:db8:1::101")
	Gateway  = netip.MustParseAddr("192.168.1.1")
	Gateway6 = netip.MustParseAddr("2001:db8:1::1")
	WAN      = netip.MustParseAddr("198.51.100.2") // what the client's clear text comes from, seen at the internet

	Server     = netip.MustParseAddr("203.0.113.10")
	ServerTwo  = netip.MustParseAddr("203.0.113.11") // for fail-over
	Server6    = netip.MustParseAddr("2001:db8:5::10")
	ServerTwo6 = netip.MustParseAddr("2001:db8:5::11")

	Public     = netip.MustParseAddr("8.8.8.8")
	PublicTwo  = netip.MustParseAddr("1.1.1.1")
	Web        = netip.MustParseAddr("203.0.113.80")
	Public6    = netip.MustParseAddr("2001:db8:80::80")
	PublicTwo6 = netip.MustParseAddr("2001:4860:4860::8888")

	Guest   = netip.MustParseAddr("172.31.0.2")
	Macvlan = netip.MustParseAddr("192.168.1.102")

	// Tunnel networks that the server translates to its own addresses. A VPN
	// server takes a /24 and a /64 of them.
	TunnelNet  = netip.MustParsePrefix("10.8.0.0/16")
	TunnelNet6 = netip.MustParsePrefix("fd00:8::/48")
)

// Link addresses of the two ends of the client's cable and of the guest's macvlan.
const (
	ClientMAC  = "02:00:00:00:01:65"
	GatewayMAC = "02:00:00:00:01:01"
	MacvlanMAC = "02:00:00:00:01:66"
)

// Link-local addresses that follow from the MACs (RFC 4291, appendix A).
var (
	ClientLinkLocal  = netip.MustParseAddr("fe80::ff:fe00:165")
	GatewayLinkLocal = netip.MustParseAddr("fe80::ff:fe00:101")
)

// MAC is a link address of this package as bytes.
func MAC(text string) [6]byte {
	hw, err := net.ParseMAC(text)
	if err != nil || len(hw) != 6 {
		panic(fmt.Sprintf("link address %q: %v", text, err))
	}
	return [6]byte(hw)
}
