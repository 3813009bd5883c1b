package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/route"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/state"
	"github.com/vpnguard/vpnguard/survey"
)

// survey looks at the host as far as it may, and says what it could not see.
func (w *world) survey() survey.Host {
	var h survey.Host
	h.ReadFiles("/")
	for _, part := range []struct {
		what string
		read func(*survey.Host) error
	}{
		{"the nftables tables of others", foreignTables},
		{"links", routes(hostLinks)},
		{"routing rules", routes(markRules)},
		{"endpoints of multipath TCP", routes(mptcpEndpoints)},
		{"the recorded sessions", w.recordedTunnels},
		{"the configuration, which names guests", w.configuredGuests},
	} {
		if err := part.read(&h); err != nil {
			h.Unread = append(h.Unread, survey.Unread{What: part.what, Err: err})
		}
	}
	return h
}

func foreignTables(h *survey.Host) error {
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	tables, err := conn.Foreign()
	if err != nil {
		return err
	}
	for _, t := range tables {
		out := survey.Table{Family: t.Family, Name: t.Name, Regular: t.Regular}
		for _, c := range t.Base {
			out.Base = append(out.Base, survey.Chain{
				Name: c.Name, Type: c.Type, Hook: c.Hook, Devices: c.Devices, Priority: c.Priority,
				PolicyDrop: c.Policy == rules.Drop, End: c.End, Drops: c.Drops, Established: c.Established,
			})
		}
		h.Tables = append(h.Tables, out)
	}
	return nil
}

// routes reads one thing by a route socket.
func routes(read func(*netlink.Handle, *survey.Host) error) func(*survey.Host) error {
	return func(h *survey.Host) error {
		handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open route socket: %w", err)
		}
		defer handle.Close()
		return read(handle, h)
	}
}

func hostLinks(handle *netlink.Handle, h *survey.Host) error {
	list, err := link.List(handle)
	if err != nil {
		return err
	}
	for _, l := range list {
		h.Links = append(h.Links, survey.Link{
			Name: l.Name, Index: l.Index, Kind: l.Kind, Loopback: l.Loopback,
			Master: l.Master, Parent: l.Parent, Addresses: l.Addresses,
		})
	}
	return nil
}

func markRules(handle *netlink.Handle, h *survey.Host) error {
	list, err := handle.RuleList(unix.AF_UNSPEC)
	if err != nil {
		return fmt.Errorf("list routing rules: %w", err)
	}
	for _, r := range list {
		if r.Mark == 0 && r.Mask == nil || r.Protocol == route.Protocol { // none, or our own
			continue
		}
		mask := ^uint32(0)
		if r.Mask != nil {
			mask = *r.Mask
		}
		rule := survey.Rule{Priority: r.Priority, Mark: r.Mark, Mask: mask, Table: r.Table}
		if !slices.Contains(h.Rules, rule) { // once for both families
			h.Rules = append(h.Rules, rule)
		}
	}
	return nil
}

func mptcpEndpoints(handle *netlink.Handle, h *survey.Host) (err error) {
	h.MPTCP, err = link.MPTCP(handle)
	return err
}

// recordedTunnels are devices that are not foreign.
func (w *world) recordedTunnels(h *survey.Host) error {
	var rec guard.Record
	_, err := state.New(w.stateDir).Load(&rec)
	var earlier *state.ForeignBootError
	if errors.Is(err, state.ErrNone) || errors.As(err, &earlier) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, s := range rec.Sessions {
		h.Tunnels = append(h.Tunnels, s.Dev)
	}
	return nil
}

func (w *world) configuredGuests(h *survey.Host) error {
	c, err := w.configuration()
	if err != nil {
		return err
	}
	for _, g := range c.Guests {
		h.Guests = append(h.Guests, g.String())
	}
	return nil
}
