package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// Prepare makes a new namespace, or one that a crash left, one that has loopback
// and lets nothing else pass. What is in it of a tunnel that ended goes.
func (s *Space) Prepare() error {
	// Whether everybody may ping is the host's choice, and a namespace does not
	// get it from there.
	const ping = "/proc/sys/net/ipv4/ping_group_range"
	groups, pingErr := os.ReadFile(ping)
	return s.Do(func() error {
		if err := closeBy(rules.Inside("", nil)); err != nil {
			return err
		}
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return fmt.Errorf("open route socket inside: %w", err)
		}
		defer h.Close()
		links, err := h.LinkList()
		if err != nil {
			return fmt.Errorf("list the links inside: %w", err)
		}
		for _, l := range links {
			name := l.Attrs().Name
			if name == "lo" {
				err = h.LinkSetUp(l)
			} else if err = h.LinkSetDown(l); err == nil && l.Type() == "tun" {
				err = h.LinkDel(l)
			}
			// The rest are links that some modules put into every namespace, such as
			// sit0: they cannot be deleted, are down, and no rule lets them send.
			if err != nil && !errors.Is(err, unix.ENODEV) {
				return fmt.Errorf("prepare link %q inside: %w", name, err)
			}
		}
		for name, value := range map[string]string{"net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0"} {
			if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("set %s inside: %w", name, err)
			}
		}
		if pingErr == nil {
			// A group of the host's may be unknown in a user namespace.
			_ = os.WriteFile(ping, []byte(strings.TrimSpace(string(groups))), 0)
		}
		return nil
	})
}

// Allow puts rules in force that let the device send, and let in the answers and
// the services that are named.
func (s *Space) Allow(device string, services []rules.Service) error {
	return s.Do(func() error { return closeBy(rules.Inside(device, services)) })
}

func closeBy(rs rules.Ruleset) error {
	c, err := nft.Open()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Replace(rs); err != nil {
		return fmt.Errorf("put the rules inside in force: %w", err)
	}
	return nil
}
