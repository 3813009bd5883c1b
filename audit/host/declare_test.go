package host

import (
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

func TestOnlyWhatTheGuardWasToldIsDeclared(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Facts)
		names  bool
		data   []byte
		want   string
	}{
		{"the carrier", nil, false, udp(vpn, 9, 1194, "x"), "carrier 203.0.113.10:1194"},
		{"another port of its server", nil, false, udp(vpn, 9, 1195, "x"), ""},
		{"ARP for the gateway", nil, false, arp(own, gateway), "ARP"},
		{"ARP for a stranger", nil, false, arp(own, netip.MustParseAddr("192.168.1.77")), ""},
		{"ARP for a known neighbour", func(f *Facts) {
			f.Links[0].Neighbours = append(f.Links[0].Neighbours, Neighbour{Addr: netip.MustParseAddr("192.168.1.77")})
		}, false, arp(own, netip.MustParseAddr("192.168.1.77")), "ARP"},
		{"ARP for a public address that a rogue LAN answered for", func(f *Facts) {
			f.Links[0].Neighbours = append(f.Links[0].Neighbours, Neighbour{Addr: netip.MustParseAddr("8.8.8.8")})
		}, false, arp(own, netip.MustParseAddr("8.8.8.8")), ""},
		{"ARP that tells the tunnel's address", nil, false, arp(tunnelAddr, gateway), ""},
		{"the LAN", func(f *Facts) { f.Guard.LAN = true }, false, udp(gateway, 9, 631, "x"), "LAN"},
		{"the LAN, not allowed", nil, false, udp(gateway, 9, 631, "x"), ""},
		{"names in the LAN", func(f *Facts) { f.Guard.LAN = true }, true, udp(gateway, 9, 53, "x"), ""},
		{"a service", func(f *Facts) { f.Guard.Allow = []Port{{wire.TCP, 22}} }, false, tcp(gateway, 22, 50000, 0x18, "x"), "inbound tcp/22"},
		{"another service", func(f *Facts) { f.Guard.Allow = []Port{{wire.TCP, 22}} }, false, tcp(gateway, 23, 50000, 0x18, "x"), ""},
		{"the tunnel's server", func(f *Facts) { f.Guard.Listen = []uint16{51820} }, false, udp(vpn, 51820, 9, "x"), "server udp/51820"},
		{"clear text beside a split session", func(f *Facts) { f.Guard.Full = false }, false, udp(vpn, 9, 1195, "x"), "clear text"},
		{"clear text of an open host", func(f *Facts) { *f = opened() }, false, udp(vpn, 9, 1195, "x"), ""},
	} {
		f := sealed()
		if c.change != nil {
			c.change(&f)
		}
		d := Declare(f, f.Links[0], c.names)
		k := newKeeper("TOKEN", d, evidence.Ethernet)
		if got := k.explain([]wire.Frame{frame(c.data)})[0]; got != c.want {
			t.Errorf("%s is explained by %q, want %q", c.name, got, c.want)
		}
		for _, e := range d.Entries {
			if e.Reason == "" {
				t.Errorf("%s: entry %q has no reason", c.name, e.Name)
			}
		}
	}
}
