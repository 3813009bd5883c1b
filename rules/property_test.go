package rules_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

const (
	walks   = 400
	packets = 400 // to each policy
)

// narrowing takes something away from a policy. ok is false if there is
// nothing to take. Packets to an address in freed are outside of the claim: a
// server's address is closed to all but its carrier, and ordinary afterwards.
type narrowing struct {
	name string
	do   func(world, *rules.Policy) (freed []netip.Addr, ok bool)
}

var narrowings = []narrowing{
	{"a uid is asked for", func(w world, p *rules.Policy) ([]netip.Addr, bool) {
		return nil, w.owned(p, func(o *rules.Owner) bool {
			if len(o.UIDs) > 0 {
				return false
			}
			o.UIDs = []uint32{one(w, worldUIDs)}
			return true
		})
	}},
	{"a mark is asked for", func(w world, p *rules.Policy) ([]netip.Addr, bool) {
		return nil, w.owned(p, func(o *rules.Owner) bool {
			if o.Mask != 0 {
				return false
			}
			o.Mark, o.Mask = 2, 2
			return true
		})
	}},
	{"a cgroup is asked for", func(w world, p *rules.Policy) ([]netip.Addr, bool) {
		return nil, w.owned(p, func(o *rules.Owner) bool {
			if o.Cgroup.Path != "" {
				return false
			}
			o.Cgroup = rules.Cgroup{Path: "c", Level: 1, ID: 6}
			return true
		})
	}},
	{"an endpoint is removed", func(w world, p *rules.Policy) ([]netip.Addr, bool) {
		p.Carriers = slices.Clone(p.Carriers)
		for i := range p.Carriers {
			if ends := p.Carriers[i].Endpoints; len(ends) > 0 {
				at := w.IntN(len(ends))
				p.Carriers[i].Endpoints = slices.Delete(slices.Clone(ends), at, at+1)
				return []netip.Addr{ends[at].Addr.Addr()}, true
			}
		}
		return nil, false
	}},
	{"a server's port is removed", func(_ world, p *rules.Policy) ([]netip.Addr, bool) {
		p.Carriers = slices.Clone(p.Carriers)
		for i := range p.Carriers {
			if p.Carriers[i].Listen != 0 {
				p.Carriers[i].Listen = 0
				return nil, true
			}
		}
		return nil, false
	}},
	{"the LAN is closed", func(_ world, p *rules.Policy) ([]netip.Addr, bool) {
		was := p.LAN
		p.LAN = false
		return nil, was
	}},
	{"a service is removed", func(w world, p *rules.Policy) ([]netip.Addr, bool) {
		if len(p.AllowIn) == 0 {
			return nil, false
		}
		at := w.IntN(len(p.AllowIn))
		p.AllowIn = slices.Delete(slices.Clone(p.AllowIn), at, at+1)
		return nil, true
	}},
	{"nobody asks others any more", func(_ world, p *rules.Policy) ([]netip.Addr, bool) {
		had := p.Asker != nil
		p.Asker = nil
		return nil, had
	}},
	{"a guest is removed", func(_ world, p *rules.Policy) ([]netip.Addr, bool) {
		had := len(p.Guests) > 0
		p.Guests = nil
		return nil, had
	}},
}

// owned changes the owner of one carrier.
func (w world) owned(p *rules.Policy, change func(*rules.Owner) bool) bool {
	if len(p.Carriers) == 0 {
		return false
	}
	p.Carriers = slices.Clone(p.Carriers)
	return change(&p.Carriers[w.IntN(len(p.Carriers))].Owner)
}

func TestTakingAwayNeverOpens(t *testing.T) {
	for _, n := range narrowings {
		t.Run(n.name, func(t *testing.T) {
			w := newWorld(t)
			closed := 0
			for range walks {
				wide := w.policy()
				narrow := wide
				freed, ok := n.do(w, &narrow)
				if !ok {
					continue
				}
				before, after := build(t, wide), build(t, narrow)
				for range packets {
					p := w.packet(wide)
					was, is := before.Eval(p), after.Eval(p)
					if was.Verdict.Passes() && !is.Verdict.Passes() {
						closed++
					}
					if !was.Verdict.Passes() && is.Verdict.Passes() && !slices.Contains(freed, p.Dst) {
						t.Fatalf("%+v\nwas: %s\nis:  %s\nwide:   %+v\nnarrow: %+v", p, was, is, wide, narrow)
					}
				}
			}
			// Had nothing closed, the walk would not have met what was taken away.
			if closed == 0 {
				t.Error("no packet shows that anything was taken away")
			}
		})
	}
}

// What leaves a full host by a wire was named: by link upkeep, an endpoint
// and its owner, the LAN, or a service. The reasons are written down here a
// second time, without the rules.
func TestFullLeavesNothingUnnamedOnAWire(t *testing.T) {
	w := newWorld(t)
	passed := map[string]int{}
	for range 4 * walks {
		policy := w.policy()
		policy.Profile = rules.Full
		policy.Wires = []rules.Wire{{Name: "eth0", Index: 2}}
		rs, strict := build(t, policy), build(t, rules.Policy{Wires: policy.Wires})
		for range packets {
			p := w.packet(policy)
			p.Out = "eth0"
			if p.Path == rules.ToHost || !rs.Eval(p).Verdict.Passes() {
				continue
			}
			why := named(policy, p)
			if strict.Eval(p).Verdict.Passes() {
				why = "upkeep"
			}
			if why == "" {
				t.Fatalf("nothing names it: %s\n%+v\n%+v", rs.Eval(p), p, policy)
			}
			passed[fmt.Sprint(why, " ", p.Path == rules.RawFrame)]++
		}
	}
	t.Log(passed)
	for _, why := range []string{"upkeep false", "upkeep true", "carrier false", "carrier true", "LAN false", "LAN true", "service false", "service true", "listen false", "listen true"} {
		if passed[why] == 0 {
			t.Errorf("no packet passed for %q: the walk proves nothing about it", why)
		}
	}
}

// named is the exception of the policy that a packet to a wire may claim.
func named(policy rules.Policy, p rules.Packet) string {
	if p.Path == rules.Forwarded || p.Ether != 0 {
		return ""
	}
	transport := !(p.Trailing && p.Dst.Is6()) && (p.Proto == rules.ProtoTCP || p.Proto == rules.ProtoUDP)
	proto := endpoint.UDP
	if p.Proto == rules.ProtoTCP {
		proto = endpoint.TCP
	}
	server := false
	for _, c := range policy.Carriers {
		for _, e := range c.Endpoints {
			server = server || e.Addr.Addr() == p.Dst
			exact := transport && e.Proto == proto && e.Addr == netip.AddrPortFrom(p.Dst, p.DstPort)
			if p.Path == rules.RawFrame && (exact || p.Trailing && e.Addr.Addr() == p.Dst) {
				return "carrier"
			}
			if exact && owns(c.Owner, p) {
				return "carrier"
			}
		}
	}
	name := transport && slices.Contains([]uint16{53, 853, 137, 138, 1900, 3702, 5353, 5355}, p.DstPort)
	if server || name {
		return ""
	}
	if policy.LAN && (p.Dst.IsPrivate() || p.Dst.IsLinkLocalUnicast()) {
		return "LAN"
	}
	for _, s := range policy.AllowIn {
		answer := p.Path == rules.RawFrame || p.State == rules.CTEstablished && p.Reply
		if transport && s.Proto == proto && s.First <= p.SrcPort && p.SrcPort <= s.Last && answer {
			return "service"
		}
	}
	for _, c := range policy.Carriers {
		if c.Listen != 0 && transport && proto == endpoint.UDP && c.Listen == p.SrcPort && (p.Path == rules.RawFrame || owns(c.Owner, p)) {
			return "listen"
		}
	}
	return ""
}

func owns(o rules.Owner, p rules.Packet) bool {
	return (len(o.UIDs) == 0 || p.Socket && slices.Contains(o.UIDs, p.UID)) &&
		(o.Mask == 0 || p.Mark&o.Mask == o.Mark) &&
		(o.Cgroup.Path == "" || p.Socket && p.Cgroup == o.Cgroup.ID)
}
