package sysctl

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Plan rests on how the kernel combines an interface's key with All's. Here the
// kernel itself is asked, for each pair of values.

func host(t *testing.T) (*netlink.Handle, *wire, netlink.Link) {
	t.Helper()
	h := handle(t)
	e0, far := veth(t, h, "e0", "192.0.2.1/24")
	veth(t, h, "e1", "10.8.0.2/24")
	for _, ip := range []string{"192.0.2.253", "192.0.2.254"} {
		must(t, h.NeighAdd(&netlink.Neigh{LinkIndex: e0.Attrs().Index, State: netlink.NUD_PERMANENT,
			IP: net.ParseIP(ip), HardwareAddr: strangerMAC}))
	}
	for _, knob := range []func(string) (Knob, error){RPFilter, ARPIgnore, ARPAnnounce} {
		set(t, knob, All, 0)
		set(t, knob, "e0", 0)
	}
	w := newWire(t, e0, far)
	// The link's carrier comes a moment after it is up; until then nothing answers.
	for range 100 {
		w.inject(unix.ETH_P_ARP, arpRequest("192.0.2.9", "192.0.2.1"))
		if w.hears(false, func(typ uint16, p []byte) bool { return typ == unix.ETH_P_ARP && p[7] == 2 }) {
			return h, w, e0
		}
	}
	t.Fatal("the host does not answer for its own address")
	return nil, nil, nil
}

func route(t *testing.T, h *netlink.Handle, link netlink.Link, via string) {
	t.Helper()
	_, def, _ := net.ParseCIDR("0.0.0.0/0")
	must(t, h.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: def, Gw: net.ParseIP(via)}))
}

func listen(t *testing.T) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{Port: 4000})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestReversePathFilterInForceIsTheMaximum(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, w, _ := host(t)
	e1, err := h.LinkByName("e1")
	must(t, err)
	route(t, h, e1, "10.8.0.1")
	conn := listen(t)
	for all := range 4 {
		for iface := range 4 {
			set(t, RPFilter, All, all)
			set(t, RPFilter, "e0", iface)
			w.inject(unix.ETH_P_IP, ipv4(unix.IPPROTO_UDP, "198.51.100.9", "192.0.2.1", nil, udp(9, 4000)))
			want := max(all, iface) != 1
			if got := received(t, conn, want); got != want {
				t.Errorf("all %d, e0 %d: spoofed packet taken: %v, want %v", all, iface, got, want)
			}
		}
	}
}

func TestARPIgnoreInForceIsTheMaximumAndOnly128AreSilent(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	_, w, _ := host(t)
	for all := range 10 {
		for iface := range 10 {
			set(t, ARPIgnore, All, all)
			set(t, ARPIgnore, "e0", iface)
			w.inject(unix.ETH_P_ARP, arpRequest("192.0.2.9", "10.8.0.2"))
			answered := w.hears(!silent(max(all, iface)), func(typ uint16, p []byte) bool { return typ == unix.ETH_P_ARP && p[7] == 2 })
			if silent(max(all, iface)) == answered {
				t.Errorf("all %d, e0 %d: answered for the other interface's address: %v", all, iface, answered)
			}
		}
	}
}

func TestARPAnnounceInForceIsTheMaximumAndAbove2IsNone(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	_, w, _ := host(t)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP("10.8.0.2")})
	must(t, err)
	defer conn.Close()
	target := byte(20)
	for all := range 4 {
		for iface := range 4 {
			set(t, ARPAnnounce, All, all)
			set(t, ARPAnnounce, "e0", iface)
			target++ // an address not asked for yet
			_, err := conn.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(192, 0, 2, target), Port: 9})
			must(t, err)
			var sender []byte
			w.hears(true, func(typ uint16, p []byte) bool {
				if typ == unix.ETH_P_ARP && p[27] == target {
					sender = bytes.Clone(p[14:18])
				}
				return sender != nil
			})
			worst := max(all, iface)
			want := a4("192.0.2.1")
			if worst == 0 || worst > 2 {
				want = a4("10.8.0.2")
			}
			if !bytes.Equal(sender, want) {
				t.Errorf("all %d, e0 %d: sender %v, want %v", all, iface, sender, want)
			}
		}
	}
}

func TestRedirectsAreAcceptedByBothOnARouterAndByEitherOnAHost(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, w, e0 := host(t)
	route(t, h, e0, "192.0.2.254")
	n := 0
	for forward := range 2 {
		for all := range 2 {
			for iface := range 2 {
				set(t, Forwarding, "e0", forward)
				set(t, AcceptRedirects, All, all)
				set(t, AcceptRedirects, "e0", iface)
				n++
				dst := fmt.Sprintf("203.0.113.%d", n)
				conn, err := net.Dial("udp4", dst+":9")
				must(t, err)
				w.inject(unix.ETH_P_IP, redirect("192.0.2.254", "192.0.2.253", dst, uint16(conn.LocalAddr().(*net.UDPAddr).Port)))
				routes, err := h.RouteGet(net.ParseIP(dst))
				must(t, err)
				conn.Close()
				got := routes[0].Gw.String() == "192.0.2.253"
				want := all|iface == 1
				if forward == 1 {
					want = all&iface == 1
				}
				if got != want {
					t.Errorf("forwarding %d, all %d, e0 %d: accepted %v, want %v", forward, all, iface, got, want)
				}
			}
		}
	}
}

func TestRedirectsAreSentIfEitherSaysSo(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, w, e0 := host(t)
	route(t, h, e0, "192.0.2.254")
	set(t, Forwarding, "e0", 1)
	n := 0
	for all := range 2 {
		for iface := range 2 {
			set(t, SendRedirects, All, all)
			set(t, SendRedirects, "e0", iface)
			n++ // each sender hears few redirects
			from := fmt.Sprintf("192.0.2.%d", 100+n)
			must(t, h.NeighAdd(&netlink.Neigh{LinkIndex: e0.Attrs().Index, State: netlink.NUD_PERMANENT,
				IP: net.ParseIP(from), HardwareAddr: strangerMAC}))
			w.inject(unix.ETH_P_IP, ipv4(unix.IPPROTO_UDP, from, "203.0.113.5", nil, udp(9, 9)))
			want := all|iface == 1
			got := w.hears(want, func(typ uint16, p []byte) bool {
				return typ == unix.ETH_P_IP && p[9] == unix.IPPROTO_ICMP && p[20] == 5
			})
			if got != want {
				t.Errorf("all %d, e0 %d: sent %v, want %v", all, iface, got, want)
			}
		}
	}
}

func TestSourceRoutesAreTakenOnlyIfBothSaySo(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	_, w, _ := host(t)
	conn := listen(t)
	// Loose source route, its list used up: the packet has arrived.
	lsrr := append([]byte{131, 7, 8}, a4("192.0.2.9")...)
	lsrr = append(lsrr, 0)
	for all := range 2 {
		for iface := range 2 {
			set(t, AcceptSourceRoute, All, all)
			set(t, AcceptSourceRoute, "e0", iface)
			w.inject(unix.ETH_P_IP, ipv4(unix.IPPROTO_UDP, "192.0.2.9", "192.0.2.1", lsrr, udp(9, 4000)))
			want := all&iface == 1
			if got := received(t, conn, want); got != want {
				t.Errorf("all %d, e0 %d: taken %v, want %v", all, iface, got, want)
			}
		}
	}
}
