package vm

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// solicitation is what a guest asks, as far as the tests vary it.
type solicitation struct {
	from, to, target string
	hops             uint8
	options          layers.ICMPv6Options
}

func (s solicitation) frame(t *testing.T) wire.Frame {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: s.hops, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP(s.from), DstIP: net.ParseIP(s.to)}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return frame(t, &layers.Ethernet{SrcMAC: GuestMAC, DstMAC: net.HardwareAddr{0x33, 0x33, 0xff, 0, 0x77, 0x64}, EthernetType: layers.EthernetTypeIPv6},
		ip, icmp, &layers.ICMPv6NeighborSolicitation{TargetAddress: net.ParseIP(s.target), Options: s.options})
}

func frame(t *testing.T, list ...gopacket.SerializableLayer) wire.Frame {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
		t.Fatal(err)
	}
	return wire.Frame{Time: time.Unix(0, 0), Data: b.Bytes(), Len: len(b.Bytes())}
}

func TestOnlyOwnDetectionWithANonceIsExplained(t *testing.T) {
	const own, group = "fe80::ff:fe00:7764", "ff02::1:ff00:7764"
	nonce := layers.ICMPv6Options{{Type: 14, Data: []byte("random")}}
	for _, c := range []struct {
		name string
		s    solicitation
		want bool
	}{
		{"as the kernel does it", solicitation{"::", group, own, 255, nonce}, true},
		{"without the option", solicitation{"::", group, own, 255, nil}, false},
		{"from an address", solicitation{own, group, own, 255, nonce}, false},
		{"to another group", solicitation{"::", "ff02::1", own, 255, nonce}, false},
		{"for another's address", solicitation{"::", "ff02::1:ff00:1", "fe80::1", 255, nonce}, false},
		{"from beyond the link", solicitation{"::", group, own, 254, nonce}, false},
		{"longer", solicitation{"::", group, own, 255, layers.ICMPv6Options{{Type: 14, Data: []byte("random and more")}}}, false},
		{"another option", solicitation{"::", group, own, 255, layers.ICMPv6Options{{Type: 15, Data: []byte("random")}}}, false},
		{"two options", solicitation{"::", group, own, 255, append(nonce, nonce...)}, false},
	} {
		if got := Detection([]netip.Addr{netip.MustParseAddr(own)})(c.s.frame(t)); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
	plain := solicitation{"::", group, own, 255, nonce}.frame(t)
	plain.Data = append(plain.Data, "behind it"...)
	if Detection([]netip.Addr{netip.MustParseAddr(own)})(plain) {
		t.Error("what is hidden behind the datagram is explained")
	}
}

func TestOnlyOwnAnnouncementsAreExplained(t *testing.T) {
	other, none := netip.MustParseAddr("192.168.77.9"), netip.IPv4Unspecified()
	data := net.HardwareAddr("secret")
	for _, c := range []struct {
		name           string
		sender, target netip.Addr
		op             uint16
		to, asked      net.HardwareAddr
		want           bool
	}{
		{"announcement", Guest4, Guest4, 1, layers.EthernetBroadcast, make([]byte, 6), true},
		{"probe", none, Guest4, 1, layers.EthernetBroadcast, make([]byte, 6), true},
		{"question for another", Guest4, other, 1, layers.EthernetBroadcast, make([]byte, 6), false},
		{"probe of another's address", none, other, 1, layers.EthernetBroadcast, make([]byte, 6), false},
		{"in another's name", other, Guest4, 1, layers.EthernetBroadcast, make([]byte, 6), false},
		{"answer", Guest4, Guest4, 2, layers.EthernetBroadcast, make([]byte, 6), false},
		{"with data in it", Guest4, Guest4, 1, layers.EthernetBroadcast, data, false},
		{"to one only", Guest4, Guest4, 1, GatewayMAC, make([]byte, 6), false},
	} {
		f := frame(t, &layers.Ethernet{SrcMAC: GuestMAC, DstMAC: c.to, EthernetType: layers.EthernetTypeARP},
			&layers.ARP{AddrType: 1, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: c.op,
				SourceHwAddress: GuestMAC, SourceProtAddress: c.sender.AsSlice(), DstHwAddress: c.asked, DstProtAddress: c.target.AsSlice()})
		f.Data = f.Data[:42] // without the padding
		if got := Announcement([]netip.Addr{Guest4})(f); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}
