package netns

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Moved is a device of the host's that was taken into a namespace, and what the
// kernel forgets of it with that.
type Moved struct {
	Name      string
	MTU       int
	Up        bool
	Addresses []Address
	Routes    []Route
	Knobs     map[string]string // by path below /proc/sys/net
}

// Address is one of a device's addresses.
type Address struct {
	Prefix netip.Prefix
	Peer   netip.Prefix // not valid: none
	// Broadcast is not valid if there is none.
	Broadcast netip.Addr
	Scope     int
	Flags     int // as far as they are somebody's choice
}

// chosenFlags are those of an address that whoever added it chose.
const chosenFlags = unix.IFA_F_NODAD | unix.IFA_F_HOMEADDRESS | unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// Route is a route by a device.
type Route struct {
	Dst, Src, Gateway   string // as netlink writes them; "": none
	Table, Metric       int
	Protocol            netlink.RouteProtocol
	Scope               netlink.Scope
	Type, Family, Flags int
}

// errLoopback: a namespace has its own.
var errLoopback = errors.New("loopback is no tunnel's device")

// Look reads what TakeIn makes the kernel forget of a device of the host's.
func Look(name string) (m Moved, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return m, fmt.Errorf("open route socket: %w", err)
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if err != nil {
		return m, fmt.Errorf("look at device %q: %w", name, err)
	}
	at := link.Attrs()
	if at.Flags&net.FlagLoopback != 0 {
		return m, fmt.Errorf("device %q: %w", name, errLoopback)
	}
	m = Moved{Name: name, MTU: at.MTU, Up: at.Flags&net.FlagUp != 0}
	addrs, err := h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return m, fmt.Errorf("list the addresses of device %q: %w", name, err)
	}
	for _, a := range addrs {
		p := prefixOf(a.IPNet)
		if a.Flags&unix.IFA_F_PERMANENT == 0 || p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			continue // the kernel's own, or a router's, who tells it again
		}
		broadcast, _ := netip.AddrFromSlice(a.Broadcast)
		m.Addresses = append(m.Addresses, Address{p, prefixOf(a.Peer), broadcast.Unmap(), a.Scope, a.Flags & chosenFlags})
	}
	m.Knobs = knobsOf(name)
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := h.RouteListFiltered(family, &netlink.Route{LinkIndex: at.Index, Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
		if err != nil {
			return m, fmt.Errorf("list the routes by device %q: %w", name, err)
		}
		for _, r := range routes {
			if r.Protocol == unix.RTPROT_KERNEL {
				continue // of addresses, with which they come back
			}
			m.Routes = append(m.Routes, routeOf(r, family))
		}
	}
	return m, nil
}

// knobsOf reads the settings of an interface, as far as they can be read.
func knobsOf(name string) map[string]string {
	all := map[string]string{}
	for _, dir := range []string{"ipv4/conf/" + name, "ipv6/conf/" + name} {
		files, err := os.ReadDir("/proc/sys/net/" + dir)
		if err != nil {
			continue // without that family
		}
		for _, f := range files {
			if text, err := os.ReadFile("/proc/sys/net/" + dir + "/" + f.Name()); err == nil {
				all[dir+"/"+f.Name()] = strings.TrimSpace(string(text))
			}
		}
	}
	return all
}

func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}

func routeOf(r netlink.Route, family int) Route {
	m := Route{Table: r.Table, Metric: r.Priority, Protocol: r.Protocol, Scope: r.Scope, Type: r.Type, Family: family, Flags: r.Flags}
	if r.Dst != nil {
		m.Dst = r.Dst.String()
	}
	if r.Src != nil {
		m.Src = r.Src.String()
	}
	if r.Gw != nil {
		m.Gateway = r.Gw.String()
	}
	return m
}

// Prefixes are the addresses that the device is to have inside, without those
// that the kernel gives by itself.
func (m Moved) Prefixes() (list []netip.Prefix) {
	for _, a := range m.Addresses {
		if a.Scope != unix.RT_SCOPE_LINK {
			list = append(list, a.Prefix)
		}
	}
	return list
}

// GiveBack moves the device to the caller's namespace and puts back what was. A
// device that has gone meanwhile is nobody's loss.
func (s *Space) GiveBack(m Moved) error {
	host, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return fmt.Errorf("open the own network namespace: %w", err)
	}
	defer host.Close()
	var none netlink.LinkNotFoundError
	err = s.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		link, err := h.LinkByName(m.Name)
		if err == nil {
			err = h.LinkSetNsFd(link, int(host.Fd()))
		}
		return err
	})
	if err != nil && !errors.As(err, &none) {
		return fmt.Errorf("move device %q back: %w", m.Name, err)
	}
	return m.restore()
}

func (m Moved) restore() error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open route socket: %w", err)
	}
	defer h.Close()
	link, err := h.LinkByName(m.Name)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restore device %q: %w", m.Name, err)
	}
	if err := h.LinkSetMTU(link, m.MTU); err != nil {
		return fmt.Errorf("restore the MTU of device %q: %w", m.Name, err)
	}
	now := knobsOf(m.Name)
	// Backwards, for stable_secret changes addr_gen_mode.
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(m.Knobs))) {
		value := m.Knobs[key]
		if now[key] == value {
			continue
		}
		if err := os.WriteFile("/proc/sys/net/"+key, []byte(value), 0); err != nil {
			return fmt.Errorf("restore %s: %w", key, err)
		}
	}
	for _, a := range m.Addresses {
		addr := &netlink.Addr{IPNet: netOf(a.Prefix), Scope: a.Scope, Flags: a.Flags}
		if a.Prefix.Addr().Is4() { // the library makes one up unless it is told that there is none
			addr.Broadcast = net.IPv4zero
			if a.Broadcast.IsValid() {
				addr.Broadcast = a.Broadcast.AsSlice()
			}
		}
		if a.Peer.IsValid() && a.Peer != a.Prefix {
			addr.Peer = netOf(a.Peer)
		}
		if err := h.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("restore address %s of device %q: %w", a.Prefix, m.Name, err)
		}
	}
	if !m.Up {
		return nil
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set device %q up again: %w", m.Name, err)
	}
	return m.reroute(h, link.Attrs().Index)
}

// reroute puts routes back, those first that a gateway of another is reached by.
func (m Moved) reroute(h *netlink.Handle, index int) error {
	routes := slices.Clone(m.Routes)
	slices.SortStableFunc(routes, func(a, b Route) int { return len(a.Gateway) - len(b.Gateway) })
	for _, r := range routes {
		n := &netlink.Route{LinkIndex: index, Table: r.Table, Priority: r.Metric, Protocol: r.Protocol, Scope: r.Scope, Type: r.Type, Family: r.Family, Src: net.ParseIP(r.Src), Gw: net.ParseIP(r.Gateway)}
		if _, dst, err := net.ParseCIDR(r.Dst); err == nil {
			n.Dst = dst
		}
		if err := h.RouteReplace(n); err != nil {
			return fmt.Errorf("restore route %s by device %q: %w", r.Dst, m.Name, err)
		}
	}
	return nil
}

func netOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
