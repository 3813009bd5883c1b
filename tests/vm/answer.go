package vm

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// lease is so short that renewals fall into every time on.
const lease = 60 // seconds

// answer is what the gateway says to a frame: addresses and neighbours, and
// nothing to anything else.
func answer(frame []byte) ([][]byte, error) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	var list []gopacket.SerializableLayer
	for _, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.ARP:
			list = arpAnswer(l)
		case *layers.DHCPv4:
			list = dhcpAnswer(l)
		case *layers.ICMPv6RouterSolicitation:
			list = advertisement()
		case *layers.ICMPv6NeighborSolicitation:
			list = neighbourAnswer(p, l)
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
		return nil, fmt.Errorf("answer the guest: %w", err)
	}
	return [][]byte{b.Bytes()}, nil
}

func ethernet(dst net.HardwareAddr, t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: GatewayMAC, DstMAC: dst, EthernetType: t}
}

func arpAnswer(q *layers.ARP) []gopacket.SerializableLayer {
	target, _ := netip.AddrFromSlice(q.DstProtAddress)
	if q.Operation != layers.ARPRequest || target != Gateway4 {
		return nil
	}
	return []gopacket.SerializableLayer{ethernet(q.SourceHwAddress, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPReply, SourceHwAddress: GatewayMAC, SourceProtAddress: Gateway4.AsSlice(),
		DstHwAddress: q.SourceHwAddress, DstProtAddress: q.SourceProtAddress,
	}}
}

func dhcpAnswer(q *layers.DHCPv4) []gopacket.SerializableLayer {
	replies := map[layers.DHCPMsgType]layers.DHCPMsgType{
		layers.DHCPMsgTypeDiscover: layers.DHCPMsgTypeOffer,
		layers.DHCPMsgTypeRequest:  layers.DHCPMsgTypeAck,
	}
	var kind layers.DHCPMsgType
	for _, o := range q.Options {
		if o.Type == layers.DHCPOptMessageType && len(o.Data) == 1 {
			kind = replies[layers.DHCPMsgType(o.Data[0])]
		}
	}
	if kind == 0 {
		return nil
	}
	seconds := binary.BigEndian.AppendUint32(nil, lease)
	gateway, guest := net.IP(Gateway4.AsSlice()), net.IP(Guest4.AsSlice())
	opt := layers.NewDHCPOption
	reply := &layers.DHCPv4{
		Operation: layers.DHCPOpReply, HardwareType: layers.LinkTypeEthernet, HardwareLen: 6,
		Xid: q.Xid, Flags: q.Flags, YourClientIP: guest, NextServerIP: gateway, ClientHWAddr: q.ClientHWAddr,
		Options: layers.DHCPOptions{
			opt(layers.DHCPOptMessageType, []byte{byte(kind)}),
			opt(layers.DHCPOptServerID, gateway),
			opt(layers.DHCPOptLeaseTime, seconds),
			opt(layers.DHCPOptSubnetMask, net.IP{255, 255, 255, 0}),
			opt(layers.DHCPOptRouter, gateway),
			opt(layers.DHCPOptDNS, gateway),
		},
	}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: gateway, DstIP: net.IPv4bcast}
	udp := &layers.UDP{SrcPort: 67, DstPort: 68}
	_ = udp.SetNetworkLayerForChecksum(ip) // fails for other layers only
	return []gopacket.SerializableLayer{ethernet(layers.EthernetBroadcast, layers.EthernetTypeIPv4), ip, udp, reply}
}

// neighbour discovery goes from the gateway's own address, hop limit 255
// (RFC 4861, section 7.1).
func discovery(to net.HardwareAddr, dst netip.Addr, kind uint8, body gopacket.SerializableLayer) []gopacket.SerializableLayer {
	ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: Gateway6.AsSlice(), DstIP: dst.AsSlice()}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
	_ = icmp.SetNetworkLayerForChecksum(ip)
	return []gopacket.SerializableLayer{ethernet(to, layers.EthernetTypeIPv6), ip, icmp, body}
}

func advertisement() []gopacket.SerializableLayer {
	const seconds = 1800                         // RFC 4861, default of AdvDefaultLifetime
	const other = 0x40                           // ask by DHCPv6 for the rest
	prefix := []byte{byte(Prefix6.Bits()), 0xc0} // on-link, autonomous
	prefix = binary.BigEndian.AppendUint32(prefix, 4*seconds)
	prefix = binary.BigEndian.AppendUint32(prefix, 2*seconds)
	prefix = append(prefix, 0, 0, 0, 0)
	prefix = append(prefix, Prefix6.Addr().AsSlice()...)
	return discovery(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1"), layers.ICMPv6TypeRouterAdvertisement,
		&layers.ICMPv6RouterAdvertisement{HopLimit: 64, Flags: other, RouterLifetime: seconds, Options: layers.ICMPv6Options{
			{Type: layers.ICMPv6OptSourceAddress, Data: GatewayMAC},
			{Type: layers.ICMPv6OptPrefixInfo, Data: prefix},
		}})
}

func neighbourAnswer(p gopacket.Packet, q *layers.ICMPv6NeighborSolicitation) []gopacket.SerializableLayer {
	target, _ := netip.AddrFromSlice(q.TargetAddress)
	ip, ok := p.NetworkLayer().(*layers.IPv6)
	if !ok || target != Gateway6 {
		return nil
	}
	from, _ := netip.AddrFromSlice(ip.SrcIP)
	if from.IsUnspecified() { // duplicate address detection: not ours
		return nil
	}
	const routerSolicitedOverride = 0xe0
	return discovery(GuestMAC, from, layers.ICMPv6TypeNeighborAdvertisement,
		&layers.ICMPv6NeighborAdvertisement{Flags: routerSolicitedOverride, TargetAddress: q.TargetAddress, Options: layers.ICMPv6Options{
			{Type: layers.ICMPv6OptTargetAddress, Data: GatewayMAC},
		}})
}
