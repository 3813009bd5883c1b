package sysctl

import (
	"errors"
	"fmt"
	"os"
	"slices"
)

// Change is one knob that must get another value. In the journal it is
// {"knob":"net/ipv4/conf/eth0/rp_filter","old":0,"new":1}.
type Change struct {
	Knob Knob `json:"knob"`
	Old  int  `json:"old"` // what was found, to be restored
	New  int  `json:"new"`
}

// Skipped is a change that cannot be made here, with the reason: the knob is
// read-only (a container's /proc/sys) or not ours to write.
type Skipped struct {
	Change
	Err error
}

// Plan returns what must change so that on the wires and tunnels, whatever the
// values of All: the reverse path is checked strictly; redirects and source
// routes are neither taken nor sent, nor are routes from IPv6 router
// advertisements; and on the wires ARP neither answers for nor shows another
// interface's address. A stricter value is left alone.
//
// Keys of All are touched only where no interface's key can decide. A knob that
// does not exist is left out. Nothing is written; the order of the changes is
// the one to apply them in.
//
// The kernel changes knobs by itself: turning forwarding off sets All's
// accept_redirects to 1. So a guardian plans again, and whatever the new plan
// holds is drift; see [Merge].
func Plan(fs FS, wires, tunnels []string) ([]Change, []Skipped, error) {
	both := slices.Concat(wires, tunnels)
	for _, name := range both {
		if name == All {
			return nil, nil, fmt.Errorf("not an interface: %q", name)
		}
	}
	p := planner{fs: fs, seen: map[Knob]bool{}}
	p.reversePath(both)
	p.redirects(both)
	p.sourceRoutes(both)
	p.arp(wires)
	p.ipv6(both)
	if p.err != nil {
		return nil, nil, p.err
	}
	return p.changes, p.skipped, nil
}

// PlanValue is the plan for one knob that a user asked for, such as
// [DisableIPv6] or [SrcValidMark]. Without the knob, or if it has the value
// already, the plan is empty.
func PlanValue(fs FS, k Knob, value int) ([]Change, []Skipped, error) {
	if err := k.check(value); err != nil {
		return nil, nil, err
	}
	p := planner{fs: fs, seen: map[Knob]bool{}}
	p.keep(k, nil, func(have int) bool { return have == value }, value)
	if p.err != nil {
		return nil, nil, p.err
	}
	return p.changes, p.skipped, nil
}

// PlanForwarding is the plan for a host that forwards IPv4 between interfaces.
// IPv6 has no such key of an interface, and its All's makes a host deaf to
// router advertisements: that is left to whoever knows the network.
func PlanForwarding(fs FS, ifaces []string) ([]Change, []Skipped, error) {
	p := planner{fs: fs, seen: map[Knob]bool{}}
	p.each(Forwarding, ifaces, is(1), 1)
	if p.err != nil {
		return nil, nil, p.err
	}
	return p.changes, p.skipped, nil
}

type planner struct {
	fs      FS
	seen    map[Knob]bool
	changes []Change
	skipped []Skipped
	err     error // the first; what follows it does nothing
}

func (p *planner) reversePath(ifaces []string) {
	if p.each(RPFilter, ifaces, is(1), 1) {
		p.each(RPFilter, []string{All}, atMost(1), 1) // maximum: only 2 spoils
	}
}

func (p *planner) redirects(ifaces []string) {
	p.each(AcceptRedirects, ifaces, is(0), 0)
	if p.anyHost(ifaces) {
		p.each(AcceptRedirects, []string{All}, is(0), 0) // either is enough where nothing is forwarded
	}
	if p.each(SendRedirects, ifaces, is(0), 0) {
		p.each(SendRedirects, []string{All}, is(0), 0) // either is enough
	}
}

func (p *planner) sourceRoutes(ifaces []string) {
	p.each(AcceptSourceRoute, ifaces, is(0), 0) // both are needed: the interface's decides
}

func (p *planner) arp(wires []string) {
	// All first in thought, last in order: what it will be decides what the
	// interface needs.
	all := p.value(ARPIgnore, All)
	if !silent(all) && all > 0 {
		all = 1
	}
	enough := func(have int) bool { return silent(max(have, all)) }
	if p.each(ARPIgnore, wires, enough, 1) {
		p.each(ARPIgnore, []string{All}, func(have int) bool { return have <= 0 || silent(have) }, 1)
	}
	if all := p.value(ARPAnnounce, All); all != 2 {
		p.each(ARPAnnounce, wires, is(2), 2)
	} else {
		p.each(ARPAnnounce, wires, atMost(2), 2)
	}
	if p.present(ARPAnnounce, wires) {
		p.each(ARPAnnounce, []string{All}, atMost(2), 2)
	}
}

func (p *planner) ipv6(ifaces []string) {
	p.each(AcceptRedirects6, ifaces, is(0), 0)
	p.each(AcceptSourceRoute6, ifaces, atMost(0), 0)
	p.each(AcceptRouteInfo6, ifaces, atMost(0), 0)
}

// silent tells whether arp_ignore in force keeps other interfaces' addresses to
// itself (arp_ignore in net/ipv4/arp.c).
func silent(v int) bool { return v == 1 || v == 2 || v == 8 }

func is(want int) func(int) bool     { return func(have int) bool { return have == want } }
func atMost(want int) func(int) bool { return func(have int) bool { return have <= want } }

// each plans one key of several interfaces and tells whether any of them exists.
func (p *planner) each(knob func(string) (Knob, error), ifaces []string, ok func(int) bool, want int) bool {
	found := false
	for _, name := range ifaces {
		k, err := knob(name)
		if p.keep(k, err, ok, want) {
			found = true
		}
	}
	return found
}

// keep plans want for k unless ok(its value), and tells whether k exists.
func (p *planner) keep(k Knob, err error, ok func(int) bool, want int) bool {
	if p.err != nil {
		return false
	}
	if err != nil {
		p.err = err
		return false
	}
	have, err := p.fs.Read(k)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return false
	case p.seen[k]:
		return true
	case refused(err):
		p.seen[k] = true
		p.skipped = append(p.skipped, Skipped{Change{Knob: k, New: want}, err})
		return true
	case err != nil:
		p.err = err
		return false
	}
	p.seen[k] = true
	if ok(have) {
		return true
	}
	c := Change{Knob: k, Old: have, New: want}
	switch err := p.fs.writable(k); {
	case err == nil:
		p.changes = append(p.changes, c)
	case refused(err):
		p.skipped = append(p.skipped, Skipped{c, fmt.Errorf("write sysctl %q: %w", k, err)})
	case !errors.Is(err, os.ErrNotExist):
		p.err = fmt.Errorf("write sysctl %q: %w", k, err)
	}
	return true
}

// value returns 0, the weakest, for a knob that cannot be read.
func (p *planner) value(knob func(string) (Knob, error), iface string) int {
	k, err := knob(iface)
	if err != nil {
		return 0
	}
	v, err := p.fs.Read(k)
	if err != nil {
		return 0
	}
	return v
}

func (p *planner) present(knob func(string) (Knob, error), ifaces []string) bool {
	return slices.ContainsFunc(ifaces, func(name string) bool {
		k, err := knob(name)
		if err != nil {
			return false
		}
		_, err = p.fs.Read(k)
		return err == nil
	})
}

// anyHost tells whether one of the interfaces exists and does not forward.
func (p *planner) anyHost(ifaces []string) bool {
	return slices.ContainsFunc(ifaces, func(name string) bool {
		return p.present(Forwarding, []string{name}) && p.value(Forwarding, name) == 0
	})
}
