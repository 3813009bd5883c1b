package host

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/verdict"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// Cases puts every frame of both phases where it belongs: to the probe whose
// signs it has, or else to what was merely seen. None is left out, and none
// counts against a probe that did not send it.
func Cases(f Facts, p Plan, control, guarded Observed) []evidence.Case {
	first, second := newSorter(p, control), newSorter(p, guarded)
	var all []evidence.Case
	for i, t := range p.Tries {
		c := evidence.Case{ID: t.ID, Variant: t.Variant, Title: t.Title, Rule: t.Rule, Innocent: t.Innocent, Reproduce: []string{"vpnguard", "audit", "host"}}
		if i < len(control.Shots) && !t.Innocent {
			run := first.run(i, evidence.Control)
			run.Tunnel = evidence.Tunnel{Need: evidence.Never, Why: "the control has links alone: whatever leaves, leaves by them"}
			c.Runs = append(c.Runs, run)
		}
		run := second.run(i, evidence.Guarded)
		run.Tunnel = need(f.Guard)
		run.Tunnel.Checks = guarded.Checks
		c.Runs = append(c.Runs, run)
		all = append(all, c)
	}
	all = append(all, p.Skipped...)
	return append(all, second.seen(f)...)
}

// sorter knows whose every frame of one phase is.
type sorter struct {
	Observed
	plan  Plan
	signs []evidence.Signs
	owner [][]int // of each frame of each capture, the try; -1: nobody's
}

func newSorter(p Plan, o Observed) sorter {
	s := sorter{Observed: o, plan: p}
	for i, t := range p.Tries {
		var signs evidence.Signs
		if i < len(o.Shots) {
			signs = evidence.SignsOf(o.Shots[i].Receipt.Evidence)
		}
		if !slices.ContainsFunc(signs.Needles, func(n []byte) bool { return string(n) == t.Order.Nonce }) {
			signs.Needles = append(signs.Needles, []byte(t.Order.Nonce)) // one that failed may have sent all the same
		}
		signs.Mentions = t.Mentions
		s.signs = append(s.signs, signs)
	}
	for _, frames := range o.Frames {
		of := make([]int, len(frames))
		for i, frame := range frames {
			of[i] = s.whose(frame)
		}
		s.owner = append(s.owner, of)
	}
	return s
}

// whose is the try whose signs a frame has.
func (s sorter) whose(f wire.Frame) int {
	one := []wire.Frame{f}
	return slices.IndexFunc(s.signs, func(g evidence.Signs) bool {
		return len(g.Wire().Find(one)) > 0 || slices.ContainsFunc(g.Mentions, func(a addr) bool { return len(wire.Mentioning(one, a)) > 0 })
	})
}

// of are the captures with those frames of each that belong to a try.
func (s sorter) of(try int, keep func(capture, frame int) bool) []evidence.Capture {
	var all []evidence.Capture
	for i, c := range s.Captures {
		c.Frames, c.Tallies = nil, nil
		for j, f := range s.Frames[i] {
			if s.owner[i][j] == try && (keep == nil || keep(i, j)) {
				c.Frames = append(c.Frames, f)
			}
		}
		c.Count = len(c.Frames)
		all = append(all, c)
	}
	return all
}

func (s sorter) run(i int, phase evidence.Phase) evidence.Run {
	t, shot := s.plan.Tries[i], Shot{}
	if i < len(s.Shots) {
		shot = s.Shots[i]
	}
	r := evidence.Run{Phase: phase, Started: s.Started, Ended: s.Ended, Captures: s.of(i, nil), Error: s.Error}
	if r.Error == "" {
		r.Error = shot.Error
	}
	stimulus := evidence.Stimulus{
		Name: t.Name(), Node: "host", UID: shot.Receipt.UID, Program: t.Order.Name, Nonce: t.Order.Nonce, Planned: 1,
		Started: shot.Started, Ended: shot.Ended, Signs: s.signs[i],
	}
	for _, send := range shot.Receipt.Sends {
		stimulus.Sends = append(stimulus.Sends, evidence.Send{What: send.What, Errno: int(send.Errno), Error: send.Error})
	}
	if w := shot.Receipt.Witness; w != "" {
		stimulus.Witness = []evidence.Section{{Title: "the kernel's record", Text: w}}
	}
	r.Stimuli = []evidence.Stimulus{stimulus}
	return r
}

// seen are the frames of no probe, by what they are. What is explained is in
// one case, so that the account is whole.
func (s sorter) seen(f Facts) []evidence.Case {
	ids := map[string]bool{quietID: true}
	of := make([][]string, len(s.Captures)) // the id of each frame; empty: a probe's
	for i, c := range s.Captures {
		of[i] = make([]string, len(s.Frames[i]))
		if !c.Deciding() {
			continue
		}
		explained := verdict.Explainer(c)(s.Frames[i])
		for j, frame := range s.Frames[i] {
			if s.owner[i][j] >= 0 {
				continue
			}
			id := classOf(f, c, frame)
			if explained[j] != "" && !(f.Guard.namesShut() && slices.Contains(inClear, id)) && !mentions(c.Declared.Never, frame) {
				id = quietID
			}
			of[i][j], ids[id] = id, true
		}
	}
	var all []evidence.Case
	for id := range ids {
		captures := s.of(-1, func(i, j int) bool { return of[i][j] == id })
		for i := range captures {
			if captures[i].Deciding() && slices.Contains(inClear, id) {
				captures[i].Declared.Entries = slices.DeleteFunc(slices.Clone(captures[i].Declared.Entries), func(e evidence.Entry) bool {
					return e.Kind == evidence.Permit && e.FromPort == 0
				})
			}
			if id == quietID {
				captures[i].Tallies = s.Captures[i].Tallies
			}
		}
		all = append(all, evidence.Case{
			ID: id, Variant: "watched", Title: "frames of no probe, seen meanwhile", Passive: true,
			Runs: []evidence.Run{{Phase: evidence.Guarded, Started: s.Started, Ended: s.Ended, Captures: captures, Error: s.Error}},
		})
	}
	slices.SortFunc(all, func(a, b evidence.Case) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// quietID is the class of link upkeep and other chatter, which explained frames
// count for.
const quietID = "l2-chatter"

// flows are what frames amount to by their ports and protocols.
var flows = []struct {
	flow wire.Flow
	id   string
}{
	{wire.Flow{Proto: wire.UDP, DstPort: 53}, "dns-lan-resolver"}, {wire.Flow{Proto: wire.TCP, DstPort: 53}, "dns-tcp53"},
	{wire.Flow{DstPort: 853}, "dns-encrypted-lan"},
	{wire.Flow{Proto: wire.UDP, DstPort: 5353}, "dns-name-services"}, {wire.Flow{Proto: wire.UDP, DstPort: 5355}, "dns-name-services"},
	{wire.Flow{Proto: wire.UDP, DstPort: 137}, "dns-name-services"}, {wire.Flow{Proto: wire.UDP, DstPort: 138}, "dns-name-services"},
	{wire.Flow{Proto: wire.UDP, DstPort: 1900}, "dns-name-services"}, {wire.Flow{Proto: wire.UDP, DstPort: 3702}, "dns-name-services"},
	{wire.Flow{Proto: wire.UDP, DstPort: 123}, "ntp-cleartext"}, {wire.Flow{Proto: wire.TCP, DstPort: 4460}, "ntp-cleartext"},
	{wire.Flow{Proto: wire.UDP, DstPort: 5351}, "upnp-natpmp"}, {wire.Flow{Proto: wire.UDP, DstPort: 3544}, "transition-tunnels"},
	{wire.Flow{Proto: 4}, "transition-tunnels"}, {wire.Flow{Proto: 41}, "transition-tunnels"},
	{wire.Flow{Proto: 47}, "transition-tunnels"}, {wire.Flow{Proto: 115}, "transition-tunnels"},
	{wire.Flow{Proto: 2}, "l2-chatter"},
}

// classOf says which leak of the catalogue a frame would be.
func classOf(f Facts, c evidence.Capture, frame wire.Frame) string {
	one := []wire.Frame{frame}
	kind := uint16(0)
	if c.Layer == evidence.Ethernet && len(frame.Data) >= ethernetHeader {
		kind = binary.BigEndian.Uint16(frame.Data[12:])
		switch kind {
		case etherIPv4, etherIPv6:
		case etherARP:
			if mentions(c.Declared.Never, frame) {
				return "arp-sender-tunnel-ip"
			}
			return "arp-destination-leak"
		default:
			return "l2-chatter"
		}
	}
	six := kind == etherIPv6
	if mentions(c.Declared.Never, frame) {
		if six {
			return "weak-host-v6"
		}
		return "weak-host-v4"
	}
	const hopByHop, neighbourSolicit = 0, 135
	if next := ethernetHeader + 6; six && len(frame.Data) > ethernetHeader+40 {
		switch {
		case frame.Data[next] == hopByHop: // group reports carry a router alert
			return "l2-chatter"
		case frame.Data[next] == 58 && frame.Data[ethernetHeader+40] == neighbourSolicit:
			return "arp-destination-leak"
		}
	}
	for _, k := range flows {
		if len(wire.Evidence{Flows: []wire.Flow{k.flow}}.Find(one)) > 0 {
			return k.id
		}
	}
	if slices.ContainsFunc(f.Services, func(s Service) bool {
		return len(wire.Evidence{Flows: []wire.Flow{{Proto: s.Proto, SrcPort: s.Port.Port}}}.Find(one)) > 0
	}) {
		return "inbound-lan-services"
	}
	switch {
	case !f.Guard.Shut():
		return "pre-tunnel-window"
	case six:
		return "ipv6-native"
	}
	return "established-survivor"
}

func mentions(all []addr, f wire.Frame) bool {
	return slices.ContainsFunc(all, func(a addr) bool { return len(wire.Mentioning([]wire.Frame{f}, a)) > 0 })
}
