// Package link tells what links the host has, which of them are wires, and by
// which one an address is reached. It asks rtnetlink by a handle that the caller
// opened; the network namespace is the handle's.
package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is one link and its addresses.
type Link struct {
	Name  string
	Index int
	// Kind is rtnetlink's: tun (tap too), wireguard, ovpn, veth, bridge, vlan,
	// macvlan, ppp, ... or "device" for one of a driver without a kind, such as
	// a network card.
	Kind     string
	Up       bool
	Loopback bool
	Master   int // index of the bridge, bond or VRF that it is a port of, or 0
	// Parent is the index of the link below a VLAN or macvlan, or of a veth's
	// other end, or 0; 0 too if that is in another namespace, where indexes
	// mean something else.
	Parent    int
	Ethernet  bool // ARP and a netdev hook see Ethernet frames
	Addresses []netip.Prefix
	Gateways  []netip.Addr // next hops of the main table's routes by this link
}

// dumpTries bounds the repeats of a dump that changes of the links cut short: a
// host that changes all the time must give an error, not a hang.
const dumpTries = 10

// List returns all links, by index. If links change all the time, so that no
// dump is whole, the error is [netlink.ErrDumpInterrupted].
func List(h *netlink.Handle) ([]Link, error) {
	devices, err := whole(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	addrs, err := whole(func() ([]netlink.Addr, error) { return h.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	of := map[int][]netip.Prefix{}
	for _, a := range addrs {
		if p, ok := prefix(a.IPNet); ok {
			of[a.LinkIndex] = append(of[a.LinkIndex], p)
		}
	}
	gateways := map[int][]netip.Addr{}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := whole(func() ([]netlink.Route, error) { return h.RouteList(nil, family) })
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range routes {
			if gw, ok := netip.AddrFromSlice(r.Gw); ok {
				gateways[r.LinkIndex] = append(gateways[r.LinkIndex], gw.Unmap())
			}
		}
	}
	links := make([]Link, 0, len(devices))
	for _, d := range devices {
		l := fromDevice(d)
		l.Addresses, l.Gateways = of[l.Index], gateways[l.Index]
		links = append(links, l)
	}
	slices.SortFunc(links, func(a, b Link) int { return a.Index - b.Index })
	return links, nil
}

// RouteTo returns the index of the link by which the host would send to addr,
// with the firewall mark, 0 for none, and from no address yet. errors.Is tells why there is none:
// unix.ENETUNREACH without a route, unix.EHOSTUNREACH for an unreachable route,
// unix.EINVAL for a blackhole, unix.EACCES (which is os.ErrPermission too) for a
// prohibit route.
func RouteTo(h *netlink.Handle, addr netip.Addr, mark uint32) (oif int, err error) {
	addr = addr.Unmap()
	if !addr.IsValid() {
		return 0, errors.New("find route: no address")
	}
	routes, err := h.RouteGetWithOptions(addr.WithZone("").AsSlice(), &netlink.RouteGetOptions{Mark: mark})
	if err != nil {
		return 0, fmt.Errorf("find route to %q: %w", addr, err)
	}
	if len(routes) == 0 || routes[0].LinkIndex == 0 {
		return 0, fmt.Errorf("find route to %q: %w", addr, unix.ENETUNREACH)
	}
	return routes[0].LinkIndex, nil
}

// whole repeats an interrupted dump.
func whole[T any](dump func() ([]T, error)) ([]T, error) {
	for try := 1; ; try++ {
		got, err := dump()
		if err == nil {
			return got, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == dumpTries {
			return nil, err
		}
	}
}

func fromDevice(d netlink.Link) Link {
	a := d.Attrs()
	l := Link{
		Name: a.Name, Index: a.Index, Kind: d.Type(),
		Up:       a.Flags&net.FlagUp != 0,
		Loopback: a.Flags&net.FlagLoopback != 0,
		Master:   a.MasterIndex,
		Ethernet: a.EncapType == "ether",
	}
	if a.NetNsID < 0 { // the link below is in the same namespace
		l.Parent = a.ParentIndex
	}
	if l.Kind == "tuntap" { // the library's word
		l.Kind = "tun"
	}
	return l
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits), ok
}
