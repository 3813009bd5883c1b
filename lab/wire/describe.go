package wire

import (
	"fmt"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Describe decodes a frame to one line for a report. It decides nothing.
func Describe(f Frame) string {
	packet := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.NoCopy)
	parts := []string{f.Time.Format("15:04:05.000000")}
	for _, layer := range packet.Layers() {
		switch l := layer.(type) {
		case *layers.Ethernet:
			parts = append(parts, fmt.Sprintf("%s > %s", l.SrcMAC, l.DstMAC))
			if packet.NetworkLayer() == nil {
				parts = append(parts, fmt.Sprintf("type 0x%04x", uint16(l.EthernetType)))
			}
		case *layers.Dot1Q:
			parts = append(parts, fmt.Sprintf("vlan %d", l.VLANIdentifier))
		case *layers.ARP:
			parts = append(parts, fmt.Sprintf("arp op %d sender %s target %s", l.Operation, dotted(l.SourceProtAddress), dotted(l.DstProtAddress)))
		case *layers.IPv4:
			parts = append(parts, fmt.Sprintf("%s > %s %s", l.SrcIP, l.DstIP, l.Protocol))
			if l.FragOffset > 0 || l.Flags&layers.IPv4MoreFragments != 0 {
				parts = append(parts, fmt.Sprintf("fragment %d at %d", l.Id, int(l.FragOffset)*8))
			}
			if len(l.Options) > 0 {
				parts = append(parts, "with options")
			}
		case *layers.IPv6:
			parts = append(parts, fmt.Sprintf("%s > %s %s hops %d", l.SrcIP, l.DstIP, l.NextHeader, l.HopLimit))
		case *layers.IPv6Fragment:
			parts = append(parts, fmt.Sprintf("fragment %d at %d", l.Identification, int(l.FragmentOffset)*8))
		case *layers.TCP:
			parts = append(parts, fmt.Sprintf("port %d > %d %s", uint16(l.SrcPort), uint16(l.DstPort), flags(l)))
			for _, o := range l.Options {
				if o.OptionType == layers.TCPOptionKindMultipathTCP && len(o.OptionData) > 0 {
					parts = append(parts, fmt.Sprintf("mptcp subtype %d", o.OptionData[0]>>4))
				}
			}
		case *layers.UDP:
			parts = append(parts, fmt.Sprintf("port %d > %d", uint16(l.SrcPort), uint16(l.DstPort)))
		case *layers.ICMPv4:
			parts = append(parts, l.TypeCode.String())
		case *layers.ICMPv6:
			parts = append(parts, l.TypeCode.String())
		}
	}
	return strings.Join(append(parts, fmt.Sprintf("(%d bytes)", f.Len)), " ")
}

func dotted(b []byte) string {
	if len(b) != 4 {
		return fmt.Sprintf("%x", b)
	}
	return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], b[2], b[3])
}

func flags(t *layers.TCP) string {
	var set []string
	for _, f := range []struct {
		on   bool
		name string
	}{{t.SYN, "syn"}, {t.ACK, "ack"}, {t.FIN, "fin"}, {t.RST, "rst"}, {t.PSH, "psh"}} {
		if f.on {
			set = append(set, f.name)
		}
	}
	return strings.Join(set, ",")
}
