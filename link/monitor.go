package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	rt "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Event is one change of the host's links or routing.
type Event struct {
	Kind  EventKind
	Route Route // of a RouteAdded
}

// EventKind says what changed.
type EventKind uint8

const (
	// Lost: more came than could be read; everything may have changed.
	Lost EventKind = iota
	// Changed: a link, an address or an interface's settings.
	Changed
	// RouteAdded: a route came.
	RouteAdded
	// RouteRemoved: a route went.
	RouteRemoved
	// RuleChanged: a routing rule came or went.
	RuleChanged
)

// Route is a route as the kernel announces it.
type Route struct {
	Dst     netip.Prefix // a default route's has no bits
	Gateway netip.Addr   // invalid: none
	Oif     int          // index of the link; 0: none
	Table   uint32
	// Protocol is who made it (rtnetlink(7)): 2 the kernel, 3 boot, 4 static,
	// 9 router advertisements, 16 DHCP.
	Protocol uint8
	Type     uint8 // 1: unicast
}

// Monitor tells of changes of links, addresses, routes, routing rules and of
// the interface settings that the kernel announces (rp_filter, forwarding).
type Monitor struct{ conn *rt.Conn }

// RTNLGRP_* of linux/rtnetlink.h.
var groups = []uint32{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
}

// monitorBuffer holds a burst of some thousand messages, in bytes.
const monitorBuffer = 1 << 20

// OpenMonitor begins to listen in the network namespace of the caller.
func OpenMonitor() (*Monitor, error) {
	conn, err := rt.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("open route socket: %w", err)
	}
	_ = conn.SetReadBuffer(monitorBuffer) // a smaller one loses sooner, and says so
	for _, g := range groups {
		if err := conn.JoinGroup(g); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("listen to route group %d: %w", g, err)
		}
	}
	return &Monitor{conn}, nil
}

// Close ends a Next that waits.
func (m *Monitor) Close() error { return m.conn.Close() }

// Next waits for the next events. An error is final: open another monitor, and
// look at everything before.
func (m *Monitor) Next() ([]Event, error) {
	for {
		messages, err := m.conn.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			return []Event{{Kind: Lost}}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listen to links and routes: %w", err)
		}
		var out []Event
		for _, msg := range messages {
			if e, ok := parseEvent(msg); ok {
				out = append(out, e)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
}

func parseEvent(msg rt.Message) (Event, bool) {
	switch uint16(msg.Header.Type) {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		return Event{Kind: Changed}, true
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		return Event{Kind: RuleChanged}, true
	case unix.RTM_DELROUTE:
		return Event{Kind: RouteRemoved}, true
	case unix.RTM_NEWROUTE:
		r, ok := parseRoute(msg.Data)
		return Event{Kind: RouteAdded, Route: r}, ok
	}
	return Event{}, false
}

// parseRoute reads a struct rtmsg and its attributes (rtnetlink(7)).
func parseRoute(data []byte) (r Route, ok bool) {
	if len(data) < unix.SizeofRtMsg {
		return r, false
	}
	family, bits := data[0], int(data[1])
	r.Table, r.Protocol, r.Type = uint32(data[4]), data[5], data[7]
	dst := netip.IPv4Unspecified()
	switch family {
	case unix.AF_INET:
	case unix.AF_INET6:
		dst = netip.IPv6Unspecified()
	default:
		return r, false
	}
	a, err := rt.NewAttributeDecoder(data[unix.SizeofRtMsg:])
	if err != nil {
		return r, false
	}
	a.ByteOrder = binary.NativeEndian
	for a.Next() {
		switch a.Type() {
		case unix.RTA_DST:
			if dst, ok = netip.AddrFromSlice(a.Bytes()); !ok {
				return r, false
			}
		case unix.RTA_GATEWAY:
			r.Gateway, _ = netip.AddrFromSlice(a.Bytes())
		case unix.RTA_OIF:
			r.Oif = int(a.Uint32())
		case unix.RTA_TABLE:
			r.Table = a.Uint32()
		}
	}
	r.Dst, err = dst.Prefix(bits)
	return r, err == nil && a.Err() == nil
}
