package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/internal/fault"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/rules"
)

// Up seals a session, or updates the seal of one that is recorded. With
// dryRun it only says what it would do.
//
// After an error the host is what it was before, or, if the error is a
// [StateError] that says so, closed.
func (g *Guard) Up(ctx context.Context, r Request, dryRun bool) (res Result, err error) {
	// Before the lock: a resolver may take seconds, during which the guardian
	// has to be able to heal.
	looked := g.lookUp(ctx, &r)
	if dryRun {
		plan, warnings, err := g.prepare(r, looked)
		if err != nil {
			return Result{}, err
		}
		for _, c := range plan.Changes {
			res.Knobs = append(res.Knobs, fmt.Sprintf("%s = %d (was %d)", c.Knob, c.New, c.Old))
		}
		res.Names = g.wouldName(plan.Record)
		res.Text, res.Routing, res.Warnings = plan.Ruleset.Replacement(), plan.Record.Steer.Lines(), warnings
		return res, nil
	}
	fault.Point("up.start")
	err = g.locked(ctx, func() error {
		var warnings []string
		var rec Record
		err := g.again(func() (err error) {
			var plan Plan
			if plan, warnings, err = g.prepare(r, looked); err != nil {
				return unchanged(err)
			}
			fault.Point("up.planned")
			rec, err = g.apply(plan)
			return err
		})
		if err != nil {
			return err
		}
		i, _ := rec.session(r.Dev)
		res = Result{Session: rec.Sessions[i], State: rec.state(), Warnings: append(warnings, rec.left()...)}
		res.Warnings = append(res.Warnings, g.setNames(rec, namesAsked)...)
		return nil
	})
	return res, err
}

// lookUp moves what the request's names lead to to its endpoints.
func (g *Guard) lookUp(ctx context.Context, r *Request) (warnings []string) {
	resolved, warnings := g.resolve(ctx, r.ResolveTimeout, r.Names)
	for _, e := range resolved {
		if !slices.Contains(r.Endpoints, e) {
			r.Endpoints = append(r.Endpoints, e)
		}
	}
	return warnings
}

// prepare finds out everything that the plan depends on.
func (g *Guard) prepare(r Request, warnings []string) (Plan, []string, error) {
	rec, _, err := g.load()
	if err != nil {
		return Plan{}, nil, err
	}
	links, err := g.Links.List()
	if err != nil {
		return Plan{}, nil, fmt.Errorf("list interfaces: %w", err)
	}
	dev, err := g.checkDevice(r, links)
	if err != nil {
		return Plan{}, nil, err
	}
	i, known := rec.session(r.Dev)
	var old Session
	if known {
		old = rec.Sessions[i]
	}
	s, err := merge(old, known, r, dev)
	if err != nil {
		return Plan{}, nil, err
	}
	if len(s.Endpoints) == 0 && s.Listen == 0 {
		return Plan{}, nil, usage(fmt.Errorf("session %q: no endpoint is known, its client could never reconnect", r.Dev),
			"give --endpoint ADDR:PORT/PROTO")
	}
	if err := g.checkCarrier(dev, s.Endpoints, r.Mark, rec); err != nil {
		return Plan{}, nil, err
	}
	more, err := g.findOwner(&s, old, r, dev)
	if err != nil {
		return Plan{}, nil, err
	}
	if err := rec.checkMasquerade(s); err != nil {
		return Plan{}, nil, err
	}
	if s.Since.IsZero() {
		s.Since = g.Now()
	}
	next := g.withSession(rec.clone(), s)
	plan, err := g.plan(next, links)
	return plan, append(warnings, more...), err
}

// checkDevice refuses what is no tunnel at first sight: everything may leave
// by a tunnel.
func (g *Guard) checkDevice(r Request, links []link.Link) (link.Link, error) {
	dev, ok := byName(links, r.Dev)
	switch {
	case r.Dev == "":
		return dev, usage(errors.New("no tunnel device is known"), "give --dev IF")
	case !ok:
		return dev, usage(fmt.Errorf("unknown device %q", r.Dev), "the client must have made its tunnel before `vpnguard up` seals it")
	case dev.Loopback:
		return dev, usage(fmt.Errorf("device %q is the loopback, no tunnel", r.Dev), "")
	case slices.Contains(r.Settings.Guests, r.Dev):
		return dev, usage(fmt.Errorf("device %q is named as a guest", r.Dev), "")
	}
	return dev, checkGuests(r.Settings.Guests, links)
}

// checkGuests refuses a guest that is a wire: the host may send anything to
// its guests.
func checkGuests(guests []string, links []link.Link) error {
	for _, name := range guests {
		if l, ok := byName(links, name); ok && len(l.Gateways) > 0 {
			return usage(fmt.Errorf("guest %q has a gateway, %s: it is a wire", name, l.Gateways[0]), "name the interfaces of containers and VMs only")
		}
	}
	return nil
}

// checkCarrier refuses a device that may be the wire. Of one that is not a
// tunnel by its kind the routes must prove that no carrier leaves by it; the
// endpoints are all that are known, names resolved.
func (g *Guard) checkCarrier(dev link.Link, ends []endpoint.Endpoint, mark uint32, rec Record) error {
	if tunnelKinds[dev.Kind] {
		return nil
	}
	proved := false
	for _, e := range ends {
		oif, err := g.leads(e.Addr.Addr(), mark, rec)
		if err == nil && oif == dev.Index {
			return usage(fmt.Errorf("device %q carries packets to %s: it is the wire, not the tunnel", dev.Name, e), "")
		}
		proved = proved || err == nil
	}
	if !proved {
		return usage(fmt.Errorf("device %q (%s) may be the wire: no route leads to an endpoint by another interface", dev.Name, dev.Kind), "")
	}
	if len(dev.Gateways) > 0 {
		return usage(fmt.Errorf("device %q (%s) has a gateway, %s: it is a wire, not the tunnel", dev.Name, dev.Kind, dev.Gateways[0]), "")
	}
	return nil
}

// tunnelKinds are kinds of links that are tunnels whatever the routes say.
var tunnelKinds = map[string]bool{"tun": true, "wireguard": true, "ovpn": true, "ovpn-dco": true, "ppp": true, "ipip": true, "gre": true, "vti": true, "xfrm": true}

// kernelKinds are tunnels whose outer packets belong to whoever sent the inner ones.
var kernelKinds = map[string]bool{"wireguard": true, "ovpn": true, "ovpn-dco": true, "vxlan": true, "ipip": true, "gre": true}

// findOwner completes the session's owner.
func (g *Guard) findOwner(s *Session, old Session, r Request, dev link.Link) (warnings []string, err error) {
	var found Found
	if r.PID != 0 {
		if found, err = g.Clients.Owner(r.PID, s.Endpoints); err != nil {
			warnings = append(warnings, fmt.Sprintf("cannot look into the client's process %d: %v", r.PID, err))
		}
		s.Start = found.Start
	}
	o := rules.Owner{UIDs: r.UIDs, Mark: r.Mark, Mask: r.Mask}
	if r.Cgroup != "" {
		if o.Cgroup, err = g.Clients.Cgroup(r.Cgroup); err != nil {
			return nil, usage(fmt.Errorf("cgroup %q: %w", r.Cgroup, err), "")
		}
	}
	if !r.ownerGiven() {
		o.UIDs = slices.Clone(found.UIDs)
		if old.PID == r.PID && old.Start == s.Start {
			o.UIDs = append(o.UIDs, old.Owner.UIDs...)
		}
		o.Mark = found.Mark
		if o.Mark != 0 {
			o.Mask = ^uint32(0)
		}
		warnings = append(warnings, found.Warnings...)
		if len(o.UIDs) == 0 && o.Mask == 0 {
			o.UIDs = []uint32{0}
			warnings = append(warnings, "the owner is root, which many programs are: --owner, --mark or --cgroup can say it more exactly")
		}
	}
	if kernelKinds[dev.Kind] || r.InKernel {
		if o.Mask == 0 {
			return nil, usage(fmt.Errorf("device %q is a %s tunnel of the kernel: its carrier has the uid of whoever uses the tunnel", s.Dev, dev.Kind),
				howToMark(dev))
		}
		if len(r.UIDs) > 0 || r.Cgroup != "" {
			return nil, usage(fmt.Errorf("device %q is a %s tunnel of the kernel: neither a user nor a cgroup can be matched", s.Dev, dev.Kind), "give --mark alone")
		}
		o.UIDs, o.Cgroup = nil, rules.Cgroup{}
	}
	slices.Sort(o.UIDs)
	o.UIDs = slices.Compact(o.UIDs)
	s.Owner = o
	return warnings, nil
}

// howToMark says how a tunnel of the kernel gets a mark, and how it is told.
func howToMark(dev link.Link) string {
	if dev.Kind == "wireguard" {
		return fmt.Sprintf("nothing was changed; give it a mark, FwMark = 51820 in wg-quick's configuration, wireguard.fwmark in NetworkManager's profile, FirewallMark= in systemd-networkd's, "+
			"or `wg set %s fwmark 51820`: it is then found out", dev.Name)
	}
	return "give --mark N, the firewall mark of the tunnel's own socket, or let the client run in user space; xl2tpd does with `force userspace = yes`"
}

// withSession puts the session into the record. Sessions of clients that died
// make room, unless the host would be less closed without them.
func (g *Guard) withSession(rec Record, s Session) Record {
	rec.Sessions = slices.DeleteFunc(rec.Sessions, func(old Session) bool {
		dead := old.PID != 0 && !g.Clients.Alive(old.PID, old.Start)
		return old.Dev == s.Dev || dead && s.Profile <= old.Profile
	})
	rec.Sessions = append(rec.Sessions, s)
	rec.Asker = nil // until names are told apart again
	return rec
}
