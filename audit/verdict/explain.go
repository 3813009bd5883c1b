package verdict

import (
	"net"
	"net/netip"
	"strings"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// seen is one frame of a capture and what is known of it.
type seen struct {
	frame    wire.Frame // as on an Ethernet, whatever the capture's own layer
	number   int        // from 1
	entry    string     // what explains it; empty: nothing
	stimulus string     // whose signs it carries; empty: nobody's
	cut      bool
}

// explain looks at every frame of a capture. Frames with a stimulus's signs are
// never explained, whatever else they look like: a nonce on its way to the
// carrier's own endpoint is no carrier.
func explain(c evidence.Capture, stimuli []evidence.Stimulus, extra []evidence.Entry) []seen {
	all := make([]seen, len(c.Frames))
	frames := make([]wire.Frame, len(c.Frames))
	for i, f := range c.Frames {
		frames[i] = onEthernet(f, c.Layer)
		all[i] = seen{frame: frames[i], number: i + 1, cut: f.Len != len(f.Data)}
	}
	for i, name := range attribute(frames, stimuli) {
		all[i].stimulus = name
	}
	names := declaredNames(c, extra, frames)
	never := map[int]bool{}
	for _, a := range c.Declared.Never {
		for i := range frames {
			never[i] = never[i] || len(wire.Mentioning(frames[i:i+1], a)) > 0
		}
	}
	for i := range all {
		if all[i].stimulus == "" && !never[i] {
			all[i].entry = names[i]
		}
	}
	return all
}

// attribute names the stimulus of each frame, if it has one's signs.
func attribute(frames []wire.Frame, stimuli []evidence.Stimulus) []string {
	names := make([]string, len(frames))
	for _, s := range stimuli {
		signs := s.Signs.Wire()
		for i := range frames {
			one := frames[i : i+1]
			found := len(signs.Find(one)) > 0
			for _, a := range s.Signs.Mentions {
				found = found || len(wire.Mentioning(one, a)) > 0
			}
			if found && names[i] == "" {
				names[i] = s.Name
			}
		}
	}
	return names
}

// declaredNames is the name of the entry that explains each frame.
func declaredNames(c evidence.Capture, extra []evidence.Entry, frames []wire.Frame) []string {
	return explainer(c, extra)(frames)
}

// Explainer names the entry of a capture's declared policy that explains each
// frame, empty for none, as the verdict does but for signs and for addresses
// that must never be mentioned. The frames are as on the capture's layer.
func Explainer(c evidence.Capture) func([]wire.Frame) []string {
	names := explainer(c, nil)
	return func(frames []wire.Frame) []string {
		all := make([]wire.Frame, len(frames))
		for i, f := range frames {
			all[i] = onEthernet(f, c.Layer)
		}
		return names(all)
	}
}

func explainer(c evidence.Capture, extra []evidence.Entry) func([]wire.Frame) []string {
	policy, carriers, permits, upkeep := compile(c, extra)
	return func(frames []wire.Frame) []string {
		names := make([]string, len(frames))
		for i, e := range policy.Explain(frames) {
			switch e.Class {
			case wire.CarrierClass:
				names[i] = carriers[e.Entry]
			case wire.Allowed:
				names[i] = permits[e.Entry]
			case wire.Leak:
			case wire.ARP, wire.EAPOL, wire.DHCP, wire.DHCPv6, wire.ND:
				names[i] = upkeep[e.Class] // empty unless it was declared, with a reason
			}
		}
		return names
	}
}

// compile turns a declared policy into the wire's, with the names of the
// entries by their places in it.
func compile(c evidence.Capture, extra []evidence.Entry) (p wire.Policy, carriers, permits []string, upkeep map[wire.Class]string) {
	d := c.Declared
	p = wire.Policy{Hosts: d.Hosts, Neighbours: d.Neighbours}
	for _, m := range d.MACs {
		if hw, err := net.ParseMAC(m); err == nil && len(hw) == 6 {
			p.MACs = append(p.MACs, [6]byte(hw))
		}
	}
	if c.Layer == evidence.IP {
		p.MACs = [][6]byte{{}}
	}
	upkeep = map[wire.Class]string{}
	for _, e := range append(append([]evidence.Entry(nil), d.Entries...), extra...) {
		name := e.Name
		if strings.TrimSpace(e.Reason) == "" {
			continue // nothing is explained without one
		}
		if name == "" {
			name = string(e.Kind)
		}
		switch e.Kind {
		case evidence.Carrier:
			if e.To.IsSingleIP() && e.ToPort > 0 && e.Proto > 0 {
				p.Carriers = append(p.Carriers, wire.Carrier{Remote: netip.AddrPortFrom(e.To.Addr(), e.ToPort), Proto: e.Proto, LocalPort: e.FromPort})
				carriers = append(carriers, name)
			}
		case evidence.ARP:
			upkeep[wire.ARP] = name
		case evidence.EAPOL:
			upkeep[wire.EAPOL] = name
		case evidence.DHCP:
			upkeep[wire.DHCP] = name
		case evidence.DHCPv6:
			upkeep[wire.DHCPv6] = name
		case evidence.ND:
			upkeep[wire.ND] = name
		case evidence.Permit, evidence.Plumbing:
			if e.To.IsValid() {
				p.Permits = append(p.Permits, wire.Permit{To: e.To, Proto: e.Proto, SrcPort: e.FromPort, DstPort: e.ToPort, Extended: e.Extended})
				permits = append(permits, name)
			}
		case evidence.Inner:
			for _, all := range []string{"0.0.0.0/0", "::/0"} {
				if len(e.Sources) > 0 {
					p.Permits = append(p.Permits, wire.Permit{From: e.Sources, To: netip.MustParsePrefix(all), Extended: true})
					permits = append(permits, name)
				}
			}
		}
	}
	return p, carriers, permits, upkeep
}

// onEthernet puts a link header of zeros before a packet that has none.
func onEthernet(f wire.Frame, layer evidence.Layer) wire.Frame {
	if layer != evidence.IP {
		return f
	}
	head := make([]byte, 14)
	head[12], head[13] = 0x08, 0x00
	if len(f.Data) > 0 && f.Data[0]>>4 == 6 {
		head[12], head[13] = 0x86, 0xdd
	}
	return wire.Frame{Time: f.Time, Data: append(head, f.Data...), Len: f.Len + len(head)}
}

// shownBytes is how much of a frame a finding shows: headers of any kind, and
// enough of the payload for a nonce. The rest is in the capture.
const shownBytes = 160

func shown(s seen) Frame {
	data := s.frame.Data
	if len(data) > shownBytes {
		data = data[:shownBytes]
	}
	return Frame{Number: s.number, At: s.frame.Time.UTC(), Length: s.frame.Len, Text: wire.Describe(utc(s.frame)), Data: data}
}

func utc(f wire.Frame) wire.Frame {
	f.Time = f.Time.UTC()
	return f
}
