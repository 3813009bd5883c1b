package host

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A Job is what the twin does: the same tries by links of the same names and
// addresses, with nothing in the way.
type Job struct {
	Plan  Plan
	Links []Link
	Token string
	// Peers are the links that the guarded phase sees from behind, too: both
	// phases must be watched at the same places.
	Peers []string
	Waits Waits
}

// Twin makes the control in this process's network namespace, which must be a
// new one: it has links, addresses and routes like the machine's, no guard, and
// captures at both ends of each cable. Whatever a probe is to show, it shows here.
func Twin(ctx context.Context, j Job, s Shooter) (Observed, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return Observed{}, fmt.Errorf("open route socket: %w", err)
	}
	defer h.Close()
	if err := fresh(h); err != nil {
		return Observed{}, err
	}
	// Ping sockets for all, so that the probes that need one can be shown.
	for _, groups := range []string{"0 2147483647", "0 65535"} { // a user namespace may not have all
		if os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(groups), 0) == nil {
			break
		}
	}
	var ends []*end
	var links []Link
	for i, l := range j.Links {
		far, err := cable(h, &l, i)
		if err != nil {
			return Observed{}, fmt.Errorf("build a link like %q: %w", l.Name, err)
		}
		links = append(links, l)
		d := Declare(Facts{}, l, false)
		for _, at := range []struct {
			role  evidence.Role
			name  string
			index int
			d     wire.Direction
		}{{evidence.Host, OwnEnd(l.Name), l.Index, wire.Sent}, {evidence.Wire, FarEnd(l.Name), far, wire.Received}} {
			if at.role == evidence.Wire && !slices.Contains(j.Peers, l.Name) {
				continue
			}
			from, err := listen(at.index, at.d)
			if err != nil {
				return Observed{}, err
			}
			ends = append(ends, &end{vantage: at.name, role: at.role, link: l.Name, iface: l.Name, decides: true, declared: d, keep: newKeeper(j.Token, d, evidence.Ethernet), from: from})
		}
	}
	none := func(context.Context) []evidence.Check { return nil }
	return observe(ctx, j.Plan, links, ends, s, none, 0, j.Waits), nil
}

// fresh refuses any namespace but one that has only loopback.
func fresh(h *netlink.Handle) error {
	all, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range all {
		if l.Attrs().Name != "lo" && l.Attrs().Flags&net.FlagUp != 0 {
			return fmt.Errorf("link %q is up here: the control belongs in a new network namespace", l.Attrs().Name)
		}
	}
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find %q: %w", "lo", err)
	}
	return h.LinkSetUp(lo)
}

// cable makes a link like l and its far end; l gets its index.
func cable(h *netlink.Handle, l *Link, number int) (farIndex int, err error) {
	far := fmt.Sprintf("far%d", number)
	mac, err := net.ParseMAC(l.MAC)
	if err != nil { // a link without Ethernet: its packets are shown with it
		mac = net.HardwareAddr{0x02, 0x76, 0x67, 0, 0, 1}
		l.MAC = mac.String()
	}
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.PeerName, veth.HardwareAddr = l.Name, far, mac
	if err := h.LinkAdd(veth); err != nil {
		return 0, fmt.Errorf("add a veth pair: %w", err)
	}
	near, err := h.LinkByName(l.Name)
	if err != nil {
		return 0, err
	}
	other, err := h.LinkByName(far)
	if err != nil {
		return 0, err
	}
	const addrGenNone = 1 // IN6_ADDR_GEN_MODE_NONE: no chatter of its own
	for _, each := range []netlink.Link{near, other} {
		if err := h.LinkSetIP6AddrGenMode(each, addrGenNone); err != nil {
			return 0, fmt.Errorf("keep it silent: %w", err)
		}
	}
	for _, each := range []netlink.Link{other, near} {
		if err := h.LinkSetUp(each); err != nil {
			return 0, fmt.Errorf("set it up: %w", err)
		}
	}
	l.Index = near.Attrs().Index
	for _, p := range l.Addresses {
		a := &netlink.Addr{IPNet: network(p), Flags: unix.IFA_F_NODAD}
		if err := h.AddrAdd(near, a); err != nil {
			return 0, fmt.Errorf("add address %s: %w", p, err)
		}
	}
	return other.Attrs().Index, ways(h, *l, near.Attrs().Index, other.Attrs().HardwareAddr, number)
}

// ways lead everything to the far end, which answers nothing: by the first link
// unless a probe chose another one. Whoever a probe names has the far end's address.
func ways(h *netlink.Handle, l Link, index int, far net.HardwareAddr, number int) error {
	known := slices.Clone(l.Gateways)
	for _, n := range l.Neighbours {
		known = append(known, n.Addr)
	}
	for _, six := range []bool{false, true} {
		to, ok := l.somebody(six)
		if !ok {
			continue
		}
		known = append(known, to)
		every := network(everywhere[0])
		if six {
			every = network(everywhere[1])
		}
		r := &netlink.Route{LinkIndex: index, Dst: every, Gw: to.AsSlice(), Flags: unix.RTNH_F_ONLINK, Priority: number + 1}
		if err := h.RouteReplace(r); err != nil {
			return fmt.Errorf("add the default route: %w", err)
		}
	}
	for _, a := range known {
		n := &netlink.Neigh{LinkIndex: index, State: unix.NUD_PERMANENT, IP: a.WithZone("").AsSlice(), HardwareAddr: far}
		if err := h.NeighSet(n); err != nil {
			return fmt.Errorf("add neighbour %s: %w", a, err)
		}
	}
	return nil
}

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
