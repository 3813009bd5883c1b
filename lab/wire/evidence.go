package wire

import (
	"bytes"
	"net/netip"
)

// A Flow describes frames; zero fields match everything.
type Flow struct {
	To      netip.Addr
	Proto   uint8
	SrcPort uint16
	DstPort uint16
}

// Evidence is how to recognise the frames of one stimulus: by any of the byte
// strings, or by any of the flows.
type Evidence struct {
	Needles [][]byte
	Flows   []Flow
}

// Find returns the frames that match.
func (e Evidence) Find(frames []Frame) []Frame {
	var found []Frame
	for _, f := range frames {
		if e.matches(f) {
			found = append(found, f)
		}
	}
	return found
}

func (e Evidence) matches(f Frame) bool {
	for _, n := range e.Needles {
		if len(n) > 0 && bytes.Contains(f.Data, n) {
			return true
		}
	}
	p, ok := parse(f.Data)
	if !ok {
		return false
	}
	for _, w := range e.Flows {
		if w != (Flow{}) && (!w.To.IsValid() || w.To == p.to) && (w.Proto == 0 || w.Proto == p.proto) &&
			(w.SrcPort == 0 || w.SrcPort == p.srcPort) && (w.DstPort == 0 || w.DstPort == p.dstPort) {
			return true
		}
	}
	return false
}

// Mentioning returns the frames with addr in an IP header, an ARP packet or a
// neighbour discovery message. It does not look into carriers.
func Mentioning(frames []Frame, addr netip.Addr) []Frame {
	var found []Frame
	for _, f := range frames {
		p, ok := parse(f.Data)
		if !ok {
			continue
		}
		in := p.from == addr || p.to == addr
		switch {
		case p.etherType == typeARP && addr.Is4():
			in = bytes.Contains(p.network, addr.AsSlice())
		case p.proto == protoICMPv6 && p.etherType == typeIPv6:
			in = in || bytes.Contains(p.payload, addr.AsSlice())
		}
		if in {
			found = append(found, f)
		}
	}
	return found
}
