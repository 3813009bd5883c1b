package wireguard

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
)

// ErrUnsupported means that this kernel has no WireGuard.
var ErrUnsupported = errors.New("this kernel has no WireGuard")

// Maker is the process that made a device and keeps it. It is written on the
// device, so that one whose maker died is known for ours whatever is recorded.
type Maker struct {
	PID   int
	Start uint64 // in clock ticks since boot
}

// alias is what a device of ours is called beside its name, in `ip link` too.
const alias = "vpnguard tunnel, kept by process %d of %d"

func (m Maker) alias() string { return fmt.Sprintf(alias, m.PID, m.Start) }

// maker reads an alias; ok is false for one that somebody else wrote.
func maker(text string) (m Maker, ok bool) {
	_, err := fmt.Sscanf(text, alias, &m.PID, &m.Start)
	return m, err == nil && m.alias() == text
}

// Make makes a device of the kernel's that is up and has its port and mark, but no
// key, no peer and no address: nothing goes in or out by it yet. Port 0 is any. A
// port that is somebody else's is an error here and not later.
//
// The error is [os.ErrExist] if there is a device of the name already, and
// [ErrUnsupported] if the kernel cannot. After an error there is no device.
//
// Requires at least Linux 5.6, and its module.
func Make(name endpoint.IfName, by Maker, port uint16, mark uint32) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("make device %q: %w", name, err)
	}
	defer h.Close()
	link := &netlink.Wireguard{LinkAttrs: netlink.NewLinkAttrs()}
	link.Name = name.String()
	if err := h.LinkAdd(link); err != nil {
		return fmt.Errorf("make device %q: %w", name, refusal(err))
	}
	err = h.LinkSetAlias(link, by.alias())
	if err == nil {
		// The kernel makes up an IPv6 address of its own otherwise, which no peer allows.
		_ = h.LinkSetIP6AddrGenMode(link, addrGenModeNone)
		err = Set(name.String(), Change{Port: &port, Mark: &mark})
	}
	if err == nil {
		err = keeping(redirects, func() error { return h.LinkSetUp(link) })
	}
	if errors.Is(err, unix.EADDRINUSE) {
		err = fmt.Errorf("port %d is somebody else's: %w", port, err)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make device %q: %w", name, err), h.LinkDel(link))
	}
	return nil
}

// redirects is what the kernel switches off for all of the host when a WireGuard
// device comes up. That is for the seal to do, which gives it back.
const redirects = "/proc/sys/net/ipv4/conf/all/send_redirects"

// keeping does something that changes a setting by the way, and puts that back.
// Where it may not be written, it stays as strict as the kernel made it.
func keeping(setting string, do func() error) error {
	before, _ := os.ReadFile(setting)
	err := do()
	if after, _ := os.ReadFile(setting); !bytes.Equal(before, after) {
		_ = os.WriteFile(setting, before, 0)
	}
	return err
}

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenModeNone = 1

// refusal says what the kernel's answer to a new device means.
func refusal(err error) error {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP): // rtnetlink: unknown device type
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("it exists: %w", os.ErrExist)
	}
	return err
}

// Names are those of all devices of the kernel.
func Names() ([]string, error) {
	var names []string
	err := each(func(l netlink.Link) { names = append(names, l.Attrs().Name) })
	return names, err
}

// Made are the devices that this package made, each with who keeps it.
func Made() (map[string]Maker, error) {
	made := map[string]Maker{}
	err := each(func(l netlink.Link) {
		if m, ok := maker(l.Attrs().Alias); ok {
			made[l.Attrs().Name] = m
		}
	})
	return made, err
}

func each(f func(netlink.Link)) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	defer h.Close()
	const tries = 10 // changes cut a dump short
	links, err := h.LinkList()
	for range tries {
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
		links, err = h.LinkList()
	}
	if err != nil {
		return fmt.Errorf("list devices: %w", err)
	}
	for _, l := range links {
		if l.Type() == kindName {
			f(l)
		}
	}
	return nil
}

// Remove deletes a device that this package made. One that is not there, or is
// somebody else's, is no error and stays as it is.
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
	if err == nil {
		if _, ours := maker(link.Attrs().Alias); !ours || link.Type() != kindName {
			return nil
		}
		err = h.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove device %q: %w", name, err)
	}
	return nil
}
