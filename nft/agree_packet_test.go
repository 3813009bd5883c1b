package nft_test

import (
	"encoding/binary"
	"net/netip"

	"github.com/vpnguard/vpnguard/rules"
)

// packetOf writes the packet that p describes, with the nonce in it. What p
// leaves open, such as addresses of the link, is well-formed.
func packetOf(p rules.Packet, nonce []byte) []byte {
	body := transportOf(p, nonce)
	if p.Dst.Is6() {
		next := p.Proto
		if p.Trailing {
			body = append([]byte{p.Proto, 0, 0, 8, 'v', 'p', 'n', 'g'}, body...) // offset 1, in units of 8 bytes
			next = 44
		}
		head := make([]byte, 40)
		head[0] = 0x60
		binary.BigEndian.PutUint16(head[4:], uint16(len(body)))
		head[6], head[7] = next, hops(p)
		copy(head[8:], p.Src.AsSlice())
		copy(head[24:], p.Dst.AsSlice())
		return append(head, body...)
	}
	head := make([]byte, 20)
	head[0] = 0x45
	binary.BigEndian.PutUint16(head[2:], uint16(20+len(body)))
	binary.BigEndian.PutUint16(head[4:], p.SrcPort)
	binary.BigEndian.PutUint16(head[6:], 0x4000) // don't fragment
	if p.Trailing {
		binary.BigEndian.PutUint16(head[6:], 1)
	}
	head[8], head[9] = hops(p), p.Proto
	copy(head[12:], p.Src.AsSlice())
	copy(head[16:], p.Dst.AsSlice())
	binary.BigEndian.PutUint16(head[10:], checksum(head))
	return append(head, body...)
}

// first makes the first fragment of a whole packet: it has all ports.
func first(packet []byte) []byte {
	if packet[0]>>4 == 4 {
		binary.BigEndian.PutUint16(packet[6:], 0x2000) // more fragments
		packet[10], packet[11] = 0, 0
		binary.BigEndian.PutUint16(packet[10:], checksum(packet[:20]))
		return packet
	}
	out := append(append([]byte(nil), packet[:40]...), packet[6], 0, 0, 1, 'v', 'p', 'n', 'g')
	out[6] = 44
	binary.BigEndian.PutUint16(out[4:], uint16(len(packet)-40+8))
	return append(out, packet[40:]...)
}

// behindOptions puts an empty header of destination options before an IPv6 payload.
func behindOptions(packet []byte) []byte {
	out := append(append([]byte(nil), packet[:40]...), packet[6], 0, 1, 4, 0, 0, 0, 0) // PadN
	out[6] = 60
	binary.BigEndian.PutUint16(out[4:], uint16(len(packet)-40+8))
	return append(out, packet[40:]...)
}

// other changes one byte of a packet; IPv4 lets UDP be without a checksum.
func other(at int) func([]byte) []byte {
	return func(packet []byte) []byte {
		packet[at] ^= 1
		packet[26], packet[27] = 0, 0
		return packet
	}
}

func hops(p rules.Packet) byte {
	if p.HopLimit != 0 {
		return p.HopLimit
	}
	return 64
}

func transportOf(p rules.Packet, nonce []byte) []byte {
	var head []byte
	at := -1 // of the checksum
	switch {
	case p.Trailing: // no header, but bytes that would be one's
		if p.Proto == rules.ProtoICMP || p.Proto == rules.ProtoICMPv6 {
			return append([]byte{p.Type, p.Code}, nonce...)
		}
		ports := binary.BigEndian.AppendUint16(nil, p.SrcPort)
		return append(binary.BigEndian.AppendUint16(ports, p.DstPort), nonce...)
	case p.Proto == rules.ProtoUDP:
		head, at = make([]byte, 8), 6
		if p.DHCPOp != 0 {
			bootp := make([]byte, 240)
			bootp[0] = p.DHCPOp
			binary.BigEndian.PutUint32(bootp[236:], rules.DHCPCookie)
			nonce = append(bootp, nonce...)
		}
		binary.BigEndian.PutUint16(head[4:], uint16(8+len(nonce)))
	case p.Proto == rules.ProtoTCP:
		head, at = make([]byte, 20), 16
		head[12], head[13] = 5<<4, 2 // SYN
	case p.Proto == rules.ProtoICMP || p.Proto == rules.ProtoICMPv6:
		head, at = append([]byte{p.Type, p.Code, 0, 0, 0, 0, 0, 0}, p.NDTarget.AsSlice()...), 2
	}
	if at > 2 {
		binary.BigEndian.PutUint16(head, p.SrcPort)
		binary.BigEndian.PutUint16(head[2:], p.DstPort)
	}
	whole := append(head, nonce...)
	for len(whole) < int(p.Length) {
		whole = append(whole, 0)
	}
	if at < 0 {
		return whole
	}
	pseudo := append(append([]byte(nil), p.Src.AsSlice()...), p.Dst.AsSlice()...)
	pseudo = append(pseudo, 0, p.Proto, byte(len(whole)>>8), byte(len(whole)))
	if p.Proto == rules.ProtoICMP {
		pseudo = nil
	}
	binary.BigEndian.PutUint16(whole[at:], checksum(append(pseudo, whole...)))
	return whole
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// arpOf is an ARP request, with the freight behind it if it is not of the form.
func arpOf(mac []byte, p rules.Packet, freight []byte) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	b = append(append(b, mac...), p.ARPFrom.AsSlice()...)
	b = append(append(b, make([]byte, 6)...), p.ARPTo.AsSlice()...)
	if !p.ARPForm {
		b = append(b, freight...)
	}
	return b
}

func ethernet(dst, src []byte, kind uint16, body []byte) []byte {
	f := append(append([]byte(nil), dst...), src...)
	return append(binary.BigEndian.AppendUint16(f, kind), body...)
}

// etherOf is the EtherType of a packet.
func etherOf(p rules.Packet) uint16 {
	switch {
	case p.Ether != 0:
		return p.Ether
	case p.Dst.Is6():
		return 0x86dd
	}
	return 0x0800
}

func addrPort(s string) (netip.Addr, uint16) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a, 0
	}
	ap := netip.MustParseAddrPort(s)
	return ap.Addr(), ap.Port()
}
