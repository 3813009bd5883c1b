package netns

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/internal/fault"
)

// TakeIn moves a device of the caller's namespace inside. The kernel takes its
// addresses and routes away with that, and sets it down. One that is not there
// but inside already stays.
func (s *Space) TakeIn(device string) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open route socket: %w", err)
	}
	defer h.Close()
	link, err := h.LinkByName(device)
	var none netlink.LinkNotFoundError
	if errors.As(err, &none) {
		return s.has(device)
	}
	if err == nil {
		err = h.LinkSetNsFd(link, s.FD())
		fault.Point("netns.moved")
	}
	if err != nil {
		return fmt.Errorf("move device %q into the namespace: %w", device, err)
	}
	return nil
}

func (s *Space) has(device string) error {
	return s.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open route socket inside: %w", err)
		}
		defer h.Close()
		if _, err := h.LinkByName(device); err != nil {
			return fmt.Errorf("device %q is neither outside nor inside: %w", device, err)
		}
		return nil
	})
}
