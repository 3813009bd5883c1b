package guard

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/sysctl"
)

// Plan is a record and what it means for the kernel. Making one changes nothing.
type Plan struct {
	Record  Record
	Ruleset rules.Ruleset
	Changes []sysctl.Change // beyond those that the record knew
	Damage  error           // what could not be read, so that the plan is stricter
}

// plan completes the record with the host's links and knobs as they are now.
// A change of a knob that was recorded before keeps the value to restore.
func (g *Guard) plan(rec Record, links []link.Link) (Plan, error) {
	rec.Wires = nil
	var names []string
	for _, w := range link.Wires(links, rec.tunnels(), rec.settings().Guests) {
		rec.Wires = append(rec.Wires, rules.Wire{Name: w.Name, Index: w.Index, OnLink: onLink(w)})
		names = append(names, w.Name)
	}
	var present []string
	for _, t := range rec.tunnels() {
		if _, ok := byName(links, t); ok {
			present = append(present, t)
		}
	}
	changes, skipped, err := g.Knobs.Plan(names, present)
	if err != nil {
		return Plan{}, fmt.Errorf("plan sysctls: %w", err)
	}
	if m := rec.masquerade(); m != nil {
		forward, missing, err := g.Knobs.Forward(append(slices.Clone(names), m.Device))
		if err != nil {
			return Plan{}, fmt.Errorf("plan forwarding: %w", err)
		}
		changes, skipped = append(changes, forward...), append(skipped, missing...)
	}
	rec.Knobs = sysctl.Merge(g.stillOurs(rec.presentKnobs(links), changes), changes)
	rec.Skipped = nil
	for _, s := range skipped {
		rec.Skipped = append(rec.Skipped, fmt.Sprintf("%s stays %d: %v", s.Knob, s.Old, s.Err))
	}
	rs, err := rules.Build(rec.policy())
	if err != nil {
		return Plan{}, usage(err, "")
	}
	rec.Steer, rec.Unsteered = g.steering(rec, links)
	return Plan{Record: rec, Ruleset: rs, Changes: changes}, nil
}

// stillOurs leaves out recorded knobs that nobody needs any more: those that
// have another value than ours, and need not get it. A call that was killed
// recorded them and never turned them, or somebody else has set them since.
func (g *Guard) stillOurs(recorded, planned []sysctl.Change) []sysctl.Change {
	for _, d := range g.Knobs.Verify(recorded) {
		same := func(c sysctl.Change) bool { return c.Knob == d.Knob }
		if d.Err == nil && !slices.ContainsFunc(planned, same) {
			recorded = slices.DeleteFunc(recorded, same)
		}
	}
	return recorded
}

// onLink is where the wire's neighbours are. Link-local ones are everywhere.
func onLink(l link.Link) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range withoutLinkLocal(l.Addresses) {
		out = append(out, p.Masked())
	}
	for _, gw := range l.Gateways {
		out = append(out, netip.PrefixFrom(gw, gw.BitLen()))
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

func byName(links []link.Link, name string) (link.Link, bool) {
	i := slices.IndexFunc(links, func(l link.Link) bool { return l.Name == name })
	if i < 0 {
		return link.Link{}, false
	}
	return links[i], true
}

// merge joins the request with what is recorded of the same device. Of the
// same client process endpoints only ever get more: it may go back to an
// earlier server without a hook call.
func merge(old Session, known bool, r Request, dev link.Link) (Session, error) {
	s := Session{
		ID: r.Dev, Client: r.Client, Dev: r.Dev, PID: r.PID, Up: !r.Connecting,
		Endpoints: slices.Clone(r.Endpoints), Listen: r.Listen, Masquerade: r.Masquerade, Addresses: r.Addresses, DNS: r.DNS, Domains: r.Domains, RouteDomains: r.RouteDomains, Naming: r.Naming,
		Routes: r.Routes, Bootstrap: r.Bootstrap, Settings: r.Settings, Profile: rules.Full,
	}
	if len(s.Addresses) == 0 {
		s.Addresses = withoutLinkLocal(dev.Addresses)
	}
	if r.Explicit {
		s.Profile, s.Explicit = r.Profile, true
	} else if r.Split {
		s.Profile = rules.Split
	}
	if !known {
		return s, nil
	}
	if old.Explicit && r.Explicit && old.Profile != r.Profile && old.PID == r.PID {
		return Session{}, usage(fmt.Errorf("session %q is sealed with profile %s; profile %s conflicts with it", old.ID, old.Profile, r.Profile),
			fmt.Sprintf("end it first: vpnguard down --dev %s", old.Dev))
	}
	if old.Explicit && !r.Explicit {
		s.Profile, s.Explicit = old.Profile, true
	}
	if old.PID == r.PID {
		for _, e := range old.Endpoints {
			if !slices.Contains(s.Endpoints, e) {
				s.Endpoints = append(s.Endpoints, e)
			}
		}
	}
	s.Since = old.Since
	return s, nil
}

func withoutLinkLocal(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		if !p.Addr().IsLinkLocalUnicast() {
			out = append(out, p)
		}
	}
	return out
}
