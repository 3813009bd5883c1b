package host

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// The machine of these tests: a sealed one with a gateway.
var (
	own, gateway, vpn = netip.MustParseAddr("192.168.1.101"), netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("203.0.113.10")
	tunnelAddr        = netip.MustParseAddr("10.8.0.2")
	ownMAC, routerMAC = net.HardwareAddr{2, 0, 0, 0, 1, 0x65}, net.HardwareAddr{2, 0, 0, 0, 1, 1}
)

func sealed() Facts {
	return Facts{
		Guard: Guard{State: "sealed", Full: true, Enforced: true, Carriers: []Carrier{{netip.AddrPortFrom(vpn, 1194), wire.UDP}},
			Tunnels: []Tunnel{{Name: "tun0", Addresses: []netip.Addr{tunnelAddr}}}},
		Links: []Link{{
			Name: "eth0", Index: 2, MAC: ownMAC.String(), Gateways: []netip.Addr{gateway},
			Addresses:  []netip.Prefix{netip.PrefixFrom(own, 24), netip.MustParsePrefix("2001:db8:1::101/64"), netip.MustParsePrefix("fe80::1/64")},
			Neighbours: []Neighbour{{gateway, routerMAC.String()}},
		}},
	}
}

func opened() Facts {
	f := sealed()
	f.Guard = Guard{State: "open", Enforced: true}
	return f
}

func split(resolvers ...netip.Addr) Facts {
	f := sealed()
	f.Guard.Full = false
	f.Guard.Tunnels[0].Resolvers = resolvers
	return f
}

// packet is an Ethernet frame with an IPv4 packet.
func packet(from, to netip.Addr, proto byte, transport []byte) []byte {
	b := append(append([]byte{}, routerMAC...), ownMAC...)
	b = append(b, 8, 0, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(transport)))
	b = append(b, 0, 1, 0, 0, 64, proto, 0, 0)
	return append(append(append(b, from.AsSlice()...), to.AsSlice()...), transport...)
}

func udp(to netip.Addr, from, port uint16, payload string) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return packet(own, to, 17, append(append(b, 0, 0), payload...))
}

func tcp(to netip.Addr, from, port uint16, flags byte, payload string) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, from)
	binary.BigEndian.PutUint16(b[2:], port)
	b[12], b[13] = 5<<4, flags
	return packet(own, to, 6, append(b, payload...))
}

func arp(sender, target netip.Addr) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), ownMAC...)
	b = append(b, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	b = append(append(b, ownMAC...), sender.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
}

func frame(data []byte) wire.Frame { return wire.Frame{Data: data, Len: len(data)} }
