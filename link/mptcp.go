package link

import (
	"errors"
	"fmt"
	"net/netip"

	xnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Names and numbers of <linux/mptcp_pm.h>.
const (
	mptcpFamily  = "mptcp_pm"
	mptcpGetAddr = 3 // MPTCP_PM_CMD_GET_ADDR
	mptcpAttr    = 1 // MPTCP_PM_ATTR_ADDR
	mptcpAddr4   = 3 // MPTCP_PM_ADDR_ATTR_ADDR4
	mptcpAddr6   = 4 // MPTCP_PM_ADDR_ATTR_ADDR6
)

// MPTCP returns the addresses from which multipath TCP may open more ways for a
// connection. A kernel without it has none. The error is os.ErrPermission where
// only root may ask.
func MPTCP(h *netlink.Handle) ([]netip.Addr, error) {
	family, err := h.GenlFamilyGet(mptcpFamily)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find netlink family %q: %w", mptcpFamily, err)
	}
	conn, err := xnetlink.Dial(unix.NETLINK_GENERIC, nil)
	if err != nil {
		return nil, fmt.Errorf("open generic netlink: %w", err)
	}
	defer conn.Close()
	answers, err := conn.Execute(xnetlink.Message{
		Header: xnetlink.Header{Type: xnetlink.HeaderType(family.ID), Flags: xnetlink.Request | xnetlink.Dump},
		Data:   []byte{mptcpGetAddr, byte(family.Version), 0, 0},
	})
	if err != nil {
		return nil, fmt.Errorf("list MPTCP endpoints: %w", err)
	}
	var all []netip.Addr
	for _, m := range answers {
		if len(m.Data) < 4 {
			return nil, fmt.Errorf("list MPTCP endpoints: answer of %d bytes", len(m.Data))
		}
		a, err := xnetlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return nil, fmt.Errorf("list MPTCP endpoints: %w", err)
		}
		for a.Next() {
			if a.Type() == mptcpAttr {
				a.Nested(func(e *xnetlink.AttributeDecoder) error {
					for e.Next() {
						if addr, ok := netip.AddrFromSlice(e.Bytes()); ok && (e.Type() == mptcpAddr4 || e.Type() == mptcpAddr6) {
							all = append(all, addr.Unmap())
						}
					}
					return nil
				})
			}
		}
		if err := a.Err(); err != nil {
			return nil, fmt.Errorf("list MPTCP endpoints: %w", err)
		}
	}
	return all, nil
}
