package host

import (
	"encoding/binary"
	"slices"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// Blank returns a frame with zeros for what its headers carry: on a machine in
// use that is the user's own. The length stays, so that a frame is no cut one.
// What link upkeep is recognised by is kept.
func Blank(frame []byte, layer evidence.Layer) []byte {
	out := make([]byte, len(frame))
	keep := headers(frame, layer)
	copy(out[:keep], frame)
	return out
}

const ethernetHeader = 14

// EtherTypes.
const (
	etherIPv4  = 0x0800
	etherARP   = 0x0806
	etherVLAN  = 0x8100
	etherIPv6  = 0x86dd
	etherEAPOL = 0x888e
)

// headers is how many bytes of a frame are no payload.
func headers(b []byte, layer evidence.Layer) int {
	if layer == evidence.IP {
		return ip(b, 0)
	}
	if len(b) < ethernetHeader {
		return 0
	}
	at, kind := ethernetHeader, binary.BigEndian.Uint16(b[12:])
	if kind == etherVLAN && len(b) >= at+4 {
		kind, at = binary.BigEndian.Uint16(b[16:]), at+4
	}
	switch kind {
	case etherIPv4, etherIPv6:
		return ip(b, at)
	case etherARP:
		return len(b) // with its padding, where data would be
	case etherEAPOL:
		return min(at+4, len(b)) // version, kind and length
	}
	return at
}

// ip is where the payload of the packet at a place begins.
func ip(b []byte, at int) int {
	p := b[at:]
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		head := int(p[0]&15) * 4
		if binary.BigEndian.Uint16(p[6:])&0x1fff != 0 { // a later piece has no ports
			return min(at+head, len(b))
		}
		return transport(b, at+head, p[9])
	case len(p) >= 40 && p[0]>>4 == 6:
		head, next := 40, p[6]
		for slices.Contains([]byte{0, 43, 44, 60}, next) && len(p) >= head+8 {
			size := 8
			if next == 44 { // a fragment header has no length
				if binary.BigEndian.Uint16(p[head+2:])&0xfff8 != 0 {
					return at + head + size
				}
			} else {
				size += int(p[head+1]) * 8
			}
			next, head = p[head], head+size
		}
		return transport(b, at+head, next)
	}
	return at
}

// Ports and lengths by which a client's own configuration is recognised.
const (
	dhcpServer   = 67
	dhcpv6Server = 547
	dhcpKept     = 8 + 240 // to the magic cookie (RFC 2131)
	dhcpv6Kept   = 8 + 4
)

func transport(b []byte, at int, proto byte) int {
	if at >= len(b) {
		return len(b)
	}
	p := b[at:]
	keep := 0
	switch proto {
	case 2, 58: // group reports and ICMPv6: of what is not an echo or an error, all
		if keep = len(p); proto == 58 && p[0] < 130 {
			keep = 8
		}
	case 6:
		if keep = 20; len(p) > 12 {
			keep = int(p[12]>>4) * 4
		}
	case 17:
		keep = 8
		if len(p) >= keep {
			switch binary.BigEndian.Uint16(p[2:]) {
			case dhcpServer:
				keep = dhcpKept
			case dhcpv6Server:
				keep = dhcpv6Kept
			}
		}
	case 1:
		keep = 8
	}
	return min(at+keep, len(b))
}
