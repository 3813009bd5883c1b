package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/godbus/dbus/v5"

	"github.com/vpnguard/vpnguard/internal/fault"
)

// resolved tells systemd-resolved, link by link, so that it can ask each name
// of the right servers. What it is told it forgets with the link.
type resolved struct{ System }

const (
	resolvedPath   = dbus.ObjectPath("/org/freedesktop/resolve1")
	resolvedObject = resolvedName + ".Manager"
	resolvedLink   = resolvedName + ".Link"
)

// resolvedState is a link of systemd-resolved as somebody set it.
type resolvedState struct {
	Dev    string    `json:"dev"`
	Index  int       `json:"index"`
	Before linkNames `json:"before"`
}

// linkNames are what the bus tells of a link.
type linkNames struct {
	Servers      []netip.Addr `json:"servers"`
	Domains      []linkDomain `json:"domains"`
	DefaultRoute bool         `json:"default_route"`
	LLMNR        string       `json:"llmnr"`
	MulticastDNS string       `json:"mdns"`
}

type linkDomain struct {
	Name  string `json:"name"`
	Route bool   `json:"route"` // not completed to, only asked for
}

// busServer and busDomain are how they go over the bus: a(iay) and a(sb).
type busServer struct {
	Family int32
	Addr   []byte
}

type busDomain struct {
	Name  string
	Route bool
}

// Families of addresses (AF_INET, AF_INET6).
const inet, inet6 = 2, 10

func (r resolved) prepare(old *Saved, w Wish) (Saved, error) {
	var next Saved
	err := r.onBus(func(ctx context.Context, conn *dbus.Conn) error {
		for _, l := range w.Links {
			dev, err := net.InterfaceByName(l.Dev)
			if err != nil {
				return fmt.Errorf("set resolvers of link %q: %w", l.Dev, err)
			}
			state := resolvedState{Dev: l.Dev, Index: dev.Index}
			if known, ok := old.link(state); ok {
				next.Resolved = append(next.Resolved, known)
				continue
			}
			if state.Before, err = read(ctx, conn, dev.Index); err != nil {
				return fmt.Errorf("read the resolvers of link %q: %w", l.Dev, err)
			}
			next.Resolved = append(next.Resolved, state)
		}
		return nil
	})
	if old != nil {
		for _, was := range slices.Concat(old.Resolved, old.LeavingLinks) {
			if _, stays := next.link(was); !stays {
				next.LeavingLinks = append(next.LeavingLinks, was)
			}
		}
	}
	return next, err
}

func (s *Saved) link(l resolvedState) (resolvedState, bool) {
	if s == nil {
		return l, false
	}
	i := slices.IndexFunc(s.Resolved, func(o resolvedState) bool { return o.Dev == l.Dev && o.Index == l.Index })
	if i < 0 {
		return l, false
	}
	return s.Resolved[i], true
}

// wanted is what a link is set to. Names that no domain claims are not asked of
// a link that claims its own only.
func wanted(l Link) linkNames {
	n := linkNames{Servers: l.Servers, DefaultRoute: l.All, LLMNR: "no", MulticastDNS: "no"}
	for _, d := range l.Search {
		n.Domains = append(n.Domains, linkDomain{d, false})
	}
	for _, d := range l.Route {
		if !slices.Contains(l.Search, d) {
			n.Domains = append(n.Domains, linkDomain{d, true})
		}
	}
	if l.All { // stronger than any other link's being a default
		n.Domains = append(n.Domains, linkDomain{".", true})
	}
	return n
}

func (r resolved) apply(s Saved) (Saved, error) {
	err := r.onBus(func(ctx context.Context, conn *dbus.Conn) error {
		for _, l := range s.LeavingLinks {
			if err := giveBack(ctx, conn, l); err != nil {
				return err
			}
		}
		for i, l := range s.Links {
			if err := write(ctx, conn, s.Resolved[i].Index, wanted(l)); err != nil {
				return fmt.Errorf("set the resolvers of link %q: %w", l.Dev, err)
			}
		}
		uid, err := askedBy(ctx, conn)
		s.Asker = &uid
		return errors.Join(err, flush(ctx, conn))
	})
	if err != nil {
		s.Asker = nil
		return s, err
	}
	s.LeavingLinks = nil
	return s, nil
}

// askedBy is the uid that systemd-resolved runs with, and asks.
func askedBy(ctx context.Context, conn *dbus.Conn) (uid uint32, err error) {
	call := conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.GetConnectionUnixUser", dbus.FlagNoAutoStart, resolvedName)
	if err := call.Store(&uid); err != nil {
		return 0, fmt.Errorf("ask the bus who systemd-resolved is: %w", err)
	}
	return uid, nil
}

// flush forgets answers from before: the LAN's must not be used in the tunnel,
// nor the tunnel's afterwards.
func flush(ctx context.Context, conn *dbus.Conn) error {
	if err := manage(ctx, conn, "FlushCaches"); err != nil {
		return fmt.Errorf("empty the cache of systemd-resolved: %w", err)
	}
	return nil
}

func (r resolved) verify(s Saved) (drift []string) {
	err := r.onBus(func(ctx context.Context, conn *dbus.Conn) error {
		for i, l := range s.Links {
			if _, err := net.InterfaceByName(l.Dev); err != nil {
				continue // with the link its names are gone; it comes back by `up`
			}
			have, err := read(ctx, conn, s.Resolved[i].Index)
			if err != nil {
				drift = append(drift, fmt.Sprintf("systemd-resolved does not tell the resolvers of link %s: %v", l.Dev, err))
				continue
			}
			if !have.equal(wanted(l)) {
				drift = append(drift, fmt.Sprintf("systemd-resolved has other resolvers or domains for link %s than were set", l.Dev))
			}
		}
		return nil
	})
	if err != nil {
		drift = append(drift, err.Error())
	}
	return drift
}

func (n linkNames) equal(o linkNames) bool {
	return slices.Equal(n.Servers, o.Servers) && slices.Equal(n.Domains, o.Domains) &&
		n.DefaultRoute == o.DefaultRoute && n.LLMNR == o.LLMNR && n.MulticastDNS == o.MulticastDNS
}

func (r resolved) restore(s Saved) ([]string, error) {
	err := r.onBus(func(ctx context.Context, conn *dbus.Conn) error {
		var errs []error
		for _, l := range slices.Concat(s.LeavingLinks, s.Resolved) {
			errs = append(errs, giveBack(ctx, conn, l))
		}
		return errors.Join(append(errs, flush(ctx, conn))...)
	})
	if err != nil && !r.answers(resolvedName) {
		return []string{"systemd-resolved is gone, and with it what it was told"}, nil
	}
	return nil, err
}

// giveBack takes from a link what it was told, and tells it what others had
// told it before. A link that is gone has nothing.
func giveBack(ctx context.Context, conn *dbus.Conn, l resolvedState) error {
	dev, err := net.InterfaceByName(l.Dev)
	if err != nil || dev.Index != l.Index {
		return nil
	}
	fault.Point("dns.resolved.reverting")
	if err := manage(ctx, conn, "RevertLink", int32(l.Index)); err != nil {
		return fmt.Errorf("give link %q of systemd-resolved back: %w", l.Dev, err)
	}
	now, err := read(ctx, conn, l.Index)
	if err != nil || now.equal(l.Before) {
		return err
	}
	if err := write(ctx, conn, l.Index, l.Before); err != nil {
		return fmt.Errorf("give the resolvers of link %q back: %w", l.Dev, err)
	}
	return nil
}

// write tells a link everything. Multicast goes first: it must not be asked
// while the rest comes in.
func write(ctx context.Context, conn *dbus.Conn, index int, n linkNames) error {
	servers := []busServer{}
	for _, a := range n.Servers {
		family := int32(inet6)
		if a.Is4() {
			family = inet
		}
		servers = append(servers, busServer{family, a.AsSlice()})
	}
	domains := []busDomain{}
	for _, d := range n.Domains {
		domains = append(domains, busDomain(d))
	}
	for _, step := range []struct {
		method string
		value  any
	}{
		{"SetLinkLLMNR", n.LLMNR}, {"SetLinkMulticastDNS", n.MulticastDNS}, {"SetLinkDomains", domains},
		{"SetLinkDefaultRoute", n.DefaultRoute}, {"SetLinkDNS", servers},
	} {
		fault.Point("dns.resolved.before")
		if err := manage(ctx, conn, step.method, int32(index), step.value); err != nil {
			return err
		}
		fault.Point("dns.resolved.after")
	}
	return nil
}

func manage(ctx context.Context, conn *dbus.Conn, method string, args ...any) error {
	err := conn.Object(resolvedName, resolvedPath).CallWithContext(ctx, resolvedObject+"."+method, dbus.FlagNoAutoStart, args...).Err
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

// read asks for everything of a link.
func read(ctx context.Context, conn *dbus.Conn, index int) (n linkNames, err error) {
	var at dbus.ObjectPath
	call := conn.Object(resolvedName, resolvedPath).CallWithContext(ctx, resolvedObject+".GetLink", dbus.FlagNoAutoStart, int32(index))
	if err := call.Store(&at); err != nil {
		return n, fmt.Errorf("GetLink: %w", err)
	}
	var servers []busServer
	var domains []busDomain
	for name, to := range map[string]any{"DNS": &servers, "Domains": &domains, "DefaultRoute": &n.DefaultRoute, "LLMNR": &n.LLMNR, "MulticastDNS": &n.MulticastDNS} {
		var v dbus.Variant
		call := conn.Object(resolvedName, at).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, resolvedLink, name)
		if err := call.Store(&v); err != nil {
			return n, fmt.Errorf("read %s: %w", name, err)
		}
		if err := v.Store(to); err != nil {
			return n, fmt.Errorf("read %s: %w", name, err)
		}
	}
	for _, s := range servers {
		if a, ok := netip.AddrFromSlice(s.Addr); ok {
			n.Servers = append(n.Servers, a)
		}
	}
	for _, d := range domains {
		n.Domains = append(n.Domains, linkDomain(d))
	}
	return n, nil
}
