package vm

import (
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// Detection explains the duplicate address detection that a kernel does by
// itself for one of hosts when its link comes up: a solicitation from no
// address, with one option, the six random bytes by which it knows its own
// question when it comes back (RFC 7527, section 4.1). Without the option it is
// plain link upkeep, which [wire.Policy] explains.
func Detection(hosts []netip.Addr) func(wire.Frame) bool {
	const nonce, nonceLength = 14, 6 // RFC 3971, section 5.3.2
	return func(f wire.Frame) bool {
		p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.NoCopy)
		all := p.Layers()
		if len(all) != 4 || p.ErrorLayer() != nil {
			return false
		}
		eth, isEth := all[0].(*layers.Ethernet)
		ip, isIP := all[1].(*layers.IPv6)
		_, isICMP := all[2].(*layers.ICMPv6)
		q, isQuestion := all[3].(*layers.ICMPv6NeighborSolicitation)
		if !isEth || !isIP || !isICMP || !isQuestion || len(f.Data) != 14+40+24+8 {
			return false
		}
		target, _ := netip.AddrFromSlice(q.TargetAddress)
		group := netip.MustParseAddr("ff02::1:ff00:0").As16()
		copy(group[13:], q.TargetAddress[13:])
		return string(eth.SrcMAC) == string(GuestMAC) && ip.HopLimit == 255 && ip.SrcIP.IsUnspecified() &&
			string(ip.DstIP) == string(group[:]) && slices.Contains(hosts, target) &&
			len(q.Options) == 1 && q.Options[0].Type == nonce && len(q.Options[0].Data) == nonceLength
	}
}

// Announcement explains that a guest tells its LAN an address of hosts that it
// now has (RFC 5227, sections 2.1.1 and 2.3): an ARP request that nobody answers,
// with nothing in it but the address.
func Announcement(hosts []netip.Addr) func(wire.Frame) bool {
	return func(f wire.Frame) bool {
		p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.NoCopy)
		eth, isEth := p.LinkLayer().(*layers.Ethernet)
		q, isARP := p.Layer(layers.LayerTypeARP).(*layers.ARP)
		if !isEth || !isARP || len(f.Data) != 14+28 || q.HwAddressSize != 6 || q.ProtAddressSize != 4 {
			return false
		}
		sender, _ := netip.AddrFromSlice(q.SourceProtAddress)
		target, _ := netip.AddrFromSlice(q.DstProtAddress)
		return string(eth.SrcMAC) == string(GuestMAC) && string(q.SourceHwAddress) == string(GuestMAC) &&
			string(eth.DstMAC) == string(layers.EthernetBroadcast) && string(q.DstHwAddress) == string(make([]byte, 6)) &&
			q.Operation == layers.ARPRequest && slices.Contains(hosts, target) && (sender == target || sender == netip.IPv4Unspecified())
	}
}
