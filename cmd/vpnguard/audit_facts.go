package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/audit/evidence"
	audithost "github.com/vpnguard/vpnguard/audit/host"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/lab/wire"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/route"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/survey"
	"github.com/vpnguard/vpnguard/sysctl"
)

// Facts reads the machine and what is recorded of its seal.
func (a auditWorld) Facts(ctx context.Context) (audithost.Facts, error) { return a.facts(ctx) }

func (w *world) facts(context.Context) (audithost.Facts, error) {
	f := audithost.Facts{Kernel: kernel(), Survey: w.survey()}
	g, done, err := w.host()
	if err != nil {
		return f, err
	}
	defer done()
	st, err := g.Status()
	if err != nil {
		return f, err
	}
	if rs, _, err := g.RulesInForce(); (err == nil || errors.Is(err, guard.ErrDrift)) && len(rs.Tables) > 0 {
		f.Sections = append(f.Sections, evidence.Section{Title: "rules that are recorded", Text: rs.Text()})
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return f, fmt.Errorf("open route socket: %w", err)
	}
	defer h.Close()
	all, err := link.List(h)
	if err != nil {
		return f, err
	}
	f.Guard = guardOf(st, all)
	var tunnels []string
	for _, t := range f.Guard.Tunnels {
		tunnels = append(tunnels, t.Name)
	}
	for _, l := range audithost.Physical(all, tunnels) {
		out, err := watched(h, l)
		if err != nil {
			return f, err
		}
		f.Links = append(f.Links, out)
	}
	if len(f.Guard.Tunnels) > 0 {
		routes, err := injected(h, st.Record, f.Links)
		if err != nil {
			return f, err
		}
		f.Routes = routes
	}
	for _, s := range f.Survey.Services {
		proto := wire.TCP
		if s.Proto == "udp" {
			proto = wire.UDP
		}
		service := audithost.Service{Port: audithost.Port{Proto: proto, Port: s.Port}, Addr: s.Addr, Program: s.Program}
		if reachable(s.Addr, f.Links) && !slices.ContainsFunc(f.Services, func(o audithost.Service) bool { return o.Port == service.Port }) {
			f.Services = append(f.Services, service)
		}
	}
	f.Guard.Unset, err = looseKnobs(f.Links, tunnels)
	return f, err
}

// reachable tells whether a link's neighbours can send to an address: any
// address, and the links' own.
func reachable(a netip.Addr, links []audithost.Link) bool {
	return a.IsUnspecified() || slices.ContainsFunc(links, func(l audithost.Link) bool {
		return slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a.WithZone("") })
	})
}

// guardOf is what the record and the kernel say.
func guardOf(st guard.Status, all []link.Link) audithost.Guard {
	r := st.Record
	g := audithost.Guard{State: st.State.String(), Enforced: st.Enforced, Drift: st.Drift, Notes: st.Notes, Exposed: r.Exposed(), UIDs: ownersOf(r)}
	g.Full = r.Lock != nil || st.State == guard.Blocked
	carriers := func(o rules.Owner, ends []endpoint.Endpoint, bootstrap []netip.Addr) {
		if o.Mask != 0 {
			g.Mark = o.Mark
		}
		for _, e := range ends {
			proto := wire.UDP
			if e.Proto == endpoint.TCP {
				proto = wire.TCP
			}
			g.Carriers = append(g.Carriers, audithost.Carrier{To: e.Addr, Proto: proto})
		}
		for _, b := range bootstrap {
			for _, proto := range []uint8{wire.UDP, wire.TCP} {
				g.Carriers = append(g.Carriers, audithost.Carrier{To: netip.AddrPortFrom(b, 53), Proto: proto})
			}
		}
	}
	var settings []guard.Settings
	for _, s := range r.Sessions {
		g.Full = g.Full || s.Profile == rules.Full
		carriers(s.Owner, s.Endpoints, s.Bootstrap)
		settings = append(settings, s.Settings)
		if s.Listen != 0 {
			g.Listen = append(g.Listen, s.Listen)
		}
		t := audithost.Tunnel{Name: s.Dev, Resolvers: s.DNS}
		for _, a := range s.Addresses {
			t.Addresses, t.Prefixes = append(t.Addresses, a.Addr()), append(t.Prefixes, a)
		}
		t.Prefixes = append(t.Prefixes, s.Routes...)
		if i := slices.IndexFunc(all, func(l link.Link) bool { return l.Name == s.Dev && l.Up }); i >= 0 {
			t.Index = all[i].Index
			g.Tunnels = append(g.Tunnels, t)
		}
	}
	if r.Lock != nil {
		carriers(r.Lock.Owner, r.Lock.Endpoints, r.Lock.Bootstrap)
		settings = append(settings, r.Lock.Settings)
	}
	for _, s := range settings {
		g.LAN = g.LAN || s.LAN
		for _, in := range s.AllowIn {
			g.Allow = append(g.Allow, ports(in)...)
		}
	}
	if st.State == guard.Open {
		g.Tunnels = append(g.Tunnels, strangers(all)...)
	}
	return g
}

// mostPorts of a range are declared one by one. What comes from a wider range is
// a finding, for nobody can say that all of it is meant.
const mostPorts = 256

func ports(s rules.Service) (all []audithost.Port) {
	if s.Last-s.First >= mostPorts {
		return nil
	}
	proto := wire.TCP
	if s.Proto == endpoint.UDP {
		proto = wire.UDP
	}
	for p := int(s.First); p <= int(s.Last); p++ {
		all = append(all, audithost.Port{Proto: proto, Port: uint16(p)})
	}
	return all
}

// strangers are tunnels that nobody recorded.
func strangers(all []link.Link) (out []audithost.Tunnel) {
	for _, l := range all {
		if !l.Up || !survey.VPN(l.Kind) || l.Master != 0 || len(l.Addresses) == 0 {
			continue
		}
		t := audithost.Tunnel{Name: l.Name, Index: l.Index}
		for _, p := range l.Addresses {
			t.Addresses, t.Prefixes = append(t.Addresses, p.Addr()), append(t.Prefixes, p)
		}
		out = append(out, t)
	}
	return out
}

func ownersOf(r guard.Record) (uids []uint32) {
	for _, s := range r.Sessions {
		uids = append(uids, s.Owner.UIDs...)
	}
	if r.Lock != nil {
		uids = append(uids, r.Lock.Owner.UIDs...)
	}
	return uids
}

// watched is a link with its neighbours.
func watched(h *netlink.Handle, l link.Link) (audithost.Link, error) {
	out := audithost.Link{Name: l.Name, Index: l.Index, Addresses: l.Addresses, Gateways: l.Gateways}
	dev, err := h.LinkByIndex(l.Index)
	if err != nil {
		return out, fmt.Errorf("find %q: %w", l.Name, err)
	}
	if hw := dev.Attrs().HardwareAddr; l.Ethernet && len(hw) == 6 {
		out.MAC = hw.String()
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := h.NeighList(l.Index, family)
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			err = nil // what was read is true, and a neighbour that is missing is a finding too many
		}
		if err != nil {
			return out, fmt.Errorf("list the neighbours on %q: %w", l.Name, err)
		}
		for _, n := range list {
			a, ok := netip.AddrFromSlice(n.IP)
			if ok && n.State&(unix.NUD_INCOMPLETE|unix.NUD_FAILED|unix.NUD_NOARP) == 0 {
				out.Neighbours = append(out.Neighbours, audithost.Neighbour{Addr: a.Unmap(), MAC: n.HardwareAddr.String()})
			}
		}
	}
	return out, nil
}

// injected are routes by a link that attract what belongs in a tunnel.
func injected(h *netlink.Handle, r guard.Record, links []audithost.Link) (out []netip.Prefix, err error) {
	j := route.Judge{Wires: map[int][]netip.Prefix{}}
	for _, l := range links {
		for _, p := range l.Addresses {
			j.Wires[l.Index] = append(j.Wires[l.Index], p.Masked())
		}
	}
	for _, s := range r.Sessions {
		for _, e := range s.Endpoints {
			j.Servers = append(j.Servers, e.Addr.Addr())
		}
	}
	all, err := route.Kernel{Handle: h}.Main()
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if j.Injected(r) {
			out = append(out, r.Dst)
		}
	}
	return out, nil
}

// looseKnobs are settings that a seal would change.
func looseKnobs(links []audithost.Link, tunnels []string) ([]string, error) {
	var wires []string
	for _, l := range links {
		wires = append(wires, l.Name)
	}
	changes, skipped, err := sysctl.Plan(sysctl.FS{}, wires, tunnels)
	if err != nil {
		return nil, fmt.Errorf("read the kernel's settings: %w", err)
	}
	for _, s := range skipped {
		changes = append(changes, s.Change)
	}
	var out []string
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s is %d, not %d", c.Knob, c.Old, c.New))
	}
	return out, nil
}
