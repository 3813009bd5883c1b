package tun

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// queue is how many packets wait in a device until they are read. The kernel's own
// 500 are full after 2.5 ms at 200,000 packets a second, and whoever reads may get no
// processor for longer than that; these last 10 ms. A slow wire does not fill them, it
// drops packets itself; but super-packets of TCP count as one, so that many more would
// be a long queue for whoever comes behind.
const queue = 2048

// Configure gives a device its MTU and addresses and brings it up. gsoSize is
// the longest super-packet that it may be given; 0 is for a device that no engine
// of ours reads: its limit and its queue stay as they are.
// Routes to the addresses' networks come with them. It can be repeated, for what
// vanishes when a device goes down; what is there is not set again, for the kernel
// announces that as a change. On an error the device may have a part of it; it
// vanishes with its descriptor.
func Configure(name string, mtu, gsoSize int, addresses []netip.Prefix) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("configure device %q: %w", name, err)
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("configure device %q: %w", name, err)
	}
	if at := link.Attrs(); at.MTU != mtu {
		if err := h.LinkSetMTU(link, mtu); err != nil {
			return fmt.Errorf("set the MTU of device %q to %d: %w", name, mtu, err)
		}
	}
	up := link.Attrs().Flags&net.FlagUp != 0
	if gsoSize > 0 && link.Attrs().TxQLen != queue {
		// Without it packets are lost earlier; the tunnel works.
		_ = h.LinkSetTxQLen(link, queue)
	}
	if gsoSize > 0 && int(link.Attrs().GSOMaxSize) != gsoSize {
		// It saves a second call per super-packet; without it all is well.
		_ = h.LinkSetGSOMaxSize(link, gsoSize)
		_ = h.LinkSetGSOIPv4MaxSize(link, gsoSize)
	}
	if !up {
		// The kernel makes up an IPv6 address of its own otherwise, which no peer allows.
		_ = h.LinkSetIP6AddrGenMode(link, addrGenModeNone)
	}
	have, err := h.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list the addresses of device %q: %w", name, err)
	}
	for _, a := range addresses {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}, Flags: unix.IFA_F_NODAD}
		if slices.ContainsFunc(have, func(h netlink.Addr) bool { return h.IPNet.String() == addr.IPNet.String() }) {
			continue
		}
		if err := h.AddrReplace(link, addr); err != nil {
			return fmt.Errorf("add address %s to device %q: %w", a, name, err)
		}
	}
	if up {
		return nil
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring device %q up: %w", name, err)
	}
	return nil
}

// Route leads prefixes into a device by the main routing table, but for those
// that lead elsewhere already: they are somebody else's. It can be repeated.
func Route(name string, prefixes []netip.Prefix) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("route into device %q: %w", name, err)
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("route into device %q: %w", name, err)
	}
	for _, p := range prefixes {
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Protocol: unix.RTPROT_STATIC, Scope: netlink.SCOPE_LINK,
			Dst: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
		if err := h.RouteAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("route %s into device %q: %w", p, name, err)
		}
	}
	return nil
}

// Up reports whether a device is up.
func Up(name string) (bool, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return false, fmt.Errorf("look at device %q: %w", name, err)
	}
	return i.Flags&net.FlagUp != 0, nil
}

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenModeNone = 1

// GSOSize is the longest super-packet whose datagrams, with sizes for the MTU,
// fit one send of at most maxBytes and maxSegments.
func GSOSize(mtu, overhead, maxBytes, maxSegments int) int {
	segments := min(maxSegments, maxBytes/(mtu+overhead))
	// 60 bytes are the least headers of TCP over IPv6; with longer ones the
	// bodies are shorter, and the super-packet too.
	return max(mtu, min(65535, segments*(mtu-72)+72))
}

// Remove deletes a TUN device. One that is not there is no error.
func Remove(name string) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("remove device %q: %w", name, err)
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return nil
	}
	if err == nil && link.Type() != "tun" {
		return nil // somebody else's
	}
	if err == nil {
		err = h.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove device %q: %w", name, err)
	}
	return nil
}

// SetMTU changes the MTU of a device that is up. It needs CAP_NET_ADMIN.
func SetMTU(name string, mtu int) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("set the MTU of device %q to %d: %w", name, mtu, err)
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if err == nil && link.Attrs().MTU != mtu {
		err = h.LinkSetMTU(link, mtu)
	}
	if err != nil {
		return fmt.Errorf("set the MTU of device %q to %d: %w", name, mtu, err)
	}
	return nil
}
