package tun

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Configure gives a device its MTU and addresses and brings it up. gsoSize is
// the longest super-packet that it may be given, 0: the kernel's own limit.
// Routes to the addresses' networks come with them. On an error the device may
// have a part of it; it vanishes with its descriptor.
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
	if err := h.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("set the MTU of device %q to %d: %w", name, mtu, err)
	}
	if gsoSize > 0 {
		// It saves a second call per super-packet; without it all is well.
		_ = h.LinkSetGSOMaxSize(link, gsoSize)
		_ = h.LinkSetGSOIPv4MaxSize(link, gsoSize)
	}
	for _, a := range addresses {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}}
		if err := h.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s to device %q: %w", a, name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring device %q up: %w", name, err)
	}
	return nil
}

// GSOSize is the longest super-packet whose datagrams, with sizes for the MTU,
// fit one send of at most maxBytes and maxSegments.
func GSOSize(mtu, overhead, maxBytes, maxSegments int) int {
	segments := min(maxSegments, maxBytes/(mtu+overhead))
	// 60 bytes are the least headers of TCP over IPv6; with longer ones the
	// bodies are shorter, and the super-packet too.
	return max(mtu, min(65535, segments*(mtu-72)+72))
}
