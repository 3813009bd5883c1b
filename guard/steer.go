package guard

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/internal/fault"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/route"
	"github.com/vpnguard/vpnguard/rules"
)

// steering plans the second line: routing that leads into the tunnels what is
// not a carrier's. The rules hold without it, so that what forbids it is a
// reason to tell and no error.
func (g *Guard) steering(rec Record, links []link.Link) (plan route.Plan, why string) {
	p := route.Policy{Table: rec.steerTable()}
	if p.Table == 0 {
		return plan, ""
	}
	if n := rec.endpoints(); n > maxSteered {
		return plan, fmt.Sprintf("%d endpoints are more than the %d that routing rules are made for", n, maxSteered)
	}
	for _, s := range rec.preferred() {
		t, reason := steered(s, links)
		if why == "" {
			why = reason
		}
		// A hook may run before its client is done with the device; nothing must
		// be led nowhere until then. One that was steered into has gone.
		if t.Index != 0 && !t.Up && !rec.leadsInto(s.Dev) {
			why = fmt.Sprintf("device %s is not up yet: the next `vpnguard up` steers, or the guardian as soon as it is", s.Dev)
			continue
		}
		p.Tunnels = append(p.Tunnels, t)
	}
	p.Carriers = rec.steerCarriers(links)
	for _, w := range rec.Wires {
		l, _ := byName(links, w.Name)
		wire := route.Wire{Name: w.Name}
		for _, a := range l.Addresses {
			wire.Addresses = append(wire.Addresses, a.Addr())
		}
		p.Wires = append(p.Wires, wire)
	}
	for _, s := range rec.settings().AllowIn {
		p.Services = append(p.Services, route.Service{Proto: s.Proto, First: s.First, Last: s.Last})
	}
	for _, s := range rec.Sessions {
		if s.Listen != 0 { // a server's own answers
			p.Services = append(p.Services, route.Service{Proto: endpoint.UDP, First: s.Listen, Last: s.Listen})
		}
	}
	var err error
	if p.Main, err = g.Routing.Main(); err != nil {
		return route.Plan{}, fmt.Sprintf("the main routing table cannot be read: %v", err)
	}
	p.Exempt = neighbours(rec, links)
	if rec.settings().LAN {
		p.Exempt = append(p.Exempt, routed(rec, p.Main)...)
	}
	if plan = route.Make(p); plan.Empty() && why == "" {
		why = "no tunnel has an address or a prefix to lead into it"
	}
	return named(plan, links), why
}

// maxSteered endpoints, each of which some rules are made for: every lookup of a
// route compares with them one by one.
const maxSteered = 64

// endpoints counts those that carriers may reach.
func (r Record) endpoints() (n int) {
	for _, s := range r.Sessions {
		n += len(s.Endpoints)
	}
	if r.Lock != nil {
		n += len(r.Lock.Endpoints)
	}
	return n
}

// leadsInto reports whether the recorded steering knows the device.
func (r Record) leadsInto(dev string) bool {
	return slices.ContainsFunc(r.Steer.Routes, func(x route.Route) bool { return x.Name == dev })
}

// steerTable is 0 if a session goes without steering, or if there is none: the
// lock has no tunnel to steer into.
func (r Record) steerTable() (table uint32) {
	for _, s := range r.Sessions {
		if table = s.Settings.Table; table == 0 {
			return 0
		}
	}
	return table
}

// preferred are the sessions, the newest first: that one's tunnel is used by
// what no prefix leads elsewhere.
func (r Record) preferred() []Session {
	list := slices.Clone(r.Sessions)
	slices.SortStableFunc(list, func(a, b Session) int { return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(b.Dev, a.Dev)) })
	return list
}

// steered is a session's tunnel as routes see it.
func steered(s Session, links []link.Link) (t route.Tunnel, why string) {
	l, present := byName(links, s.Dev)
	t = route.Tunnel{Name: s.Dev, Index: l.Index, Up: present && l.Up, Full: s.Profile == rules.Full, Ethernet: l.Ethernet, Gateways: l.Gateways}
	for _, a := range s.Addresses {
		t.Addresses = append(t.Addresses, a.Addr())
		t.Prefixes = append(t.Prefixes, a.Masked())
	}
	t.Prefixes = append(t.Prefixes, s.Routes...)
	if !t.Full {
		for _, a := range s.DNS {
			t.Prefixes = append(t.Prefixes, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	if present && l.Ethernet && len(l.Gateways) == 0 {
		why = fmt.Sprintf("device %s has neighbours and no gateway is known: nothing can be led into it", s.Dev)
	}
	return t, why
}

// steerCarriers are who may send past the tunnels. A session's own carrier must
// not be led into its tunnel, nor into one that came later and may be inside it.
func (r Record) steerCarriers(links []link.Link) (list []route.Carrier) {
	add := func(c rules.Carrier, avoid []int) {
		list = append(list, route.Carrier{UIDs: c.Owner.UIDs, Mark: c.Owner.Mark, Mask: c.Owner.Mask, Endpoints: c.Endpoints, Avoid: avoid})
	}
	var later []int
	for _, s := range r.preferred() {
		if l, ok := byName(links, s.Dev); ok {
			later = append(later, l.Index)
		}
		add(carriers(s.Owner, s.Endpoints, s.Bootstrap), slices.Clone(later))
	}
	if r.Lock != nil {
		add(carriers(r.Lock.Owner, r.Lock.Endpoints, r.Lock.Bootstrap), later)
	}
	return list
}

// neighbours are the prefixes that the main table decides about: those of guests,
// and those of wires that no router of the internet has. What the rules refuse
// there fails at once; it is not for the VPN's server to see either. A LAN that
// claims a public prefix gets nothing.
func neighbours(rec Record, links []link.Link) (list []netip.Prefix) {
	wires := link.Wires(links, rec.tunnels(), rec.settings().Guests)
	for _, l := range links {
		if l.Loopback || slices.Contains(rec.tunnels(), l.Name) {
			continue
		}
		isWire := slices.ContainsFunc(wires, func(w link.Link) bool { return w.Index == l.Index })
		for _, p := range onLink(l) {
			if !isWire || rules.NeverPublic(p) {
				list = append(list, p)
			}
		}
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

// routed are the prefixes behind routers of the LAN that the user allows.
func routed(rec Record, main []route.Route) (list []netip.Prefix) {
	for _, r := range main {
		if rec.wireName(r.Dev) != "" && r.Type == unix.RTN_UNICAST && r.Dst.Bits() > 0 && rules.NeverPublic(r.Dst) {
			list = append(list, r.Dst)
		}
	}
	return list
}

// named says the devices' names for people.
func named(p route.Plan, links []link.Link) route.Plan {
	for i, r := range p.Routes {
		for _, l := range links {
			if l.Index == r.Dev {
				p.Routes[i].Name = l.Name
			}
		}
	}
	return p
}

// steer carries the recorded steering out. Nothing is open without it, so that a
// refusal is noted only, and what went in is taken out.
func (g *Guard) steer(rec *Record) {
	var err error
	if rec.Steer.Empty() {
		err = g.Routing.Remove()
	} else if err = g.Routing.Apply(rec.Steer); err != nil {
		if e := g.Routing.Remove(); e != nil {
			err = fmt.Errorf("%w; and what went in stays: %w", err, e)
		}
	}
	rec.Refused = ""
	if err != nil {
		rec.Refused = err.Error()
	}
	fault.Point("up.steered")
}

// left is what could not be done and leaves nothing open.
func (r Record) left() []string {
	list := slices.Clone(r.Skipped)
	for _, why := range []string{r.Unsteered, r.Refused} {
		if why != "" {
			list = append(list, "not everything is steered, which the rules do without: "+why)
		}
	}
	return list
}

// Steered reports whether routing leads into the tunnels what is not a carrier's.
func (r Record) Steered() bool { return !r.Steer.Empty() && r.Refused == "" }

// compareSteering fills in what differs from the recorded steering.
func (g *Guard) compareSteering(st *Status, links []link.Link) error {
	have, err := g.Routing.Have()
	if err != nil {
		return err
	}
	want := st.Record.Steer
	if st.Record.Refused != "" {
		want = route.Plan{}
	}
	st.Drift = append(st.Drift, route.Drift(want, have, func(index int) bool {
		return !slices.ContainsFunc(links, func(l link.Link) bool { return l.Index == index && l.Up })
	})...)
	notes, err := g.injected(st.Record)
	st.Notes = append(st.Notes, notes...)
	return err
}

// strayRouting looks for ours where there should be none.
func (g *Guard) strayRouting(st *Status) error {
	have, err := g.Routing.Have()
	if err == nil && !have.Empty() {
		st.State = Blocked
		st.Drift = append(st.Drift, "our routing rules and routes are in force without a record; `vpnguard recover` removes them")
	}
	return err
}

// steerDrift says that devices, addresses or the way to a server changed, so that
// what was planned does not fit any more.
func steerDrift(was, is Record) []string {
	if route.Drift(is.Steer, was.Steer, func(int) bool { return false }) == nil {
		return nil
	}
	return []string{"the ways to servers and tunnels are others than those that are steered to"}
}

// leads is by which link the host would send to a server without steering, which
// would answer a question that names neither protocol nor port by a tunnel.
func (g *Guard) leads(addr netip.Addr, mark uint32, rec Record) (oif int, err error) {
	if rec.Steer.Empty() {
		return g.Links.RouteTo(addr, mark)
	}
	main, err := g.Routing.Main()
	if err != nil {
		return 0, err
	}
	way, ok := route.Way(main, addr, nil)
	if !ok {
		return 0, fmt.Errorf("find route to %q: %w", addr, unix.ENETUNREACH)
	}
	return way.Dev, nil
}

// shownRoutes bounds what one status names.
const shownRoutes = 8

// injected names routes to a wire that a rogue network may have made, and what
// becomes of what they attract.
func (g *Guard) injected(rec Record) (notes []string, err error) {
	if rec.idle() || rec.policy().Profile != rules.Full {
		return nil, nil
	}
	main, err := g.Routing.Main()
	if err != nil {
		return nil, err
	}
	fate := "what it attracts is refused"
	if rec.Steered() {
		fate = "what it attracts is steered into the tunnel, or refused"
	}
	j, more := rec.judge(), 0
	for _, r := range main {
		if !j.Injected(r) {
			continue
		}
		if len(notes) == shownRoutes {
			more++
			continue
		}
		r.Table, r.Name = 0, rec.wireName(r.Dev)
		notes = append(notes, fmt.Sprintf("route %s leads to a wire (protocol %d): %s", r, r.Protocol, fate))
	}
	if more > 0 {
		notes = append(notes, fmt.Sprintf("%d more routes lead to a wire", more))
	}
	return notes, nil
}

func (r Record) wireName(index int) string {
	for _, w := range r.Wires {
		if w.Index == index {
			return w.Name
		}
	}
	return ""
}
