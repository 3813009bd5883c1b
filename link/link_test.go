package link

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const childEnv = "VPNGUARD_LINK_TEST_CHILD"

// inNamespace runs the rest of the test in a child with a network of its own,
// and returns false in the parent, which has nothing left to do.
func inNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(childEnv) != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func handle(t *testing.T) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func attrs(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

func add(t *testing.T, h *netlink.Handle, l netlink.Link, addresses ...string) int {
	t.Helper()
	must(t, h.LinkAdd(l))
	l, err := h.LinkByName(l.Attrs().Name)
	must(t, err)
	for _, s := range addresses {
		ip, n, err := net.ParseCIDR(s)
		must(t, err)
		must(t, h.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: n.Mask}, Flags: unix.IFA_F_NODAD}))
	}
	if len(addresses) > 0 {
		must(t, h.LinkSetUp(l))
	}
	return l.Attrs().Index
}

func TestListTellsWhatTheKernelHas(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h := handle(t)
	bridge := add(t, h, &netlink.Bridge{LinkAttrs: attrs("br0")})
	port := attrs("veth0")
	port.MasterIndex = bridge
	veth := add(t, h, &netlink.Veth{LinkAttrs: port, PeerName: "veth0p"})
	peer, err := h.LinkByName("veth0p")
	must(t, err)
	below := attrs("mv0")
	below.ParentIndex = peer.Attrs().Index
	macvlan := add(t, h, &netlink.Macvlan{LinkAttrs: below, Mode: netlink.MACVLAN_MODE_BRIDGE})
	tun := add(t, h, &netlink.Tuntap{LinkAttrs: attrs("tun0"), Mode: netlink.TUNTAP_MODE_TUN}, "10.8.0.2/24", "2001:db8:8::2/64")
	tap := add(t, h, &netlink.Tuntap{LinkAttrs: attrs("tap0"), Mode: netlink.TUNTAP_MODE_TAP})

	got, err := List(h)
	must(t, err)
	for i := range got {
		if got[i].Name == "tun0" { // without its link-local address, if the kernel made one
			kept := got[i].Addresses[:0]
			for _, p := range got[i].Addresses {
				if !p.Addr().IsLinkLocalUnicast() {
					kept = append(kept, p)
				}
			}
			got[i].Addresses = kept
		}
	}
	want := []Link{
		{Name: "lo", Index: 1, Kind: "device", Loopback: true},
		{Name: "br0", Index: bridge, Kind: "bridge", Ethernet: true},
		{Name: "veth0p", Index: peer.Attrs().Index, Kind: "veth", Ethernet: true, Parent: veth},
		{Name: "veth0", Index: veth, Kind: "veth", Ethernet: true, Master: bridge, Parent: peer.Attrs().Index},
		{Name: "mv0", Index: macvlan, Kind: "macvlan", Ethernet: true, Parent: peer.Attrs().Index},
		{Name: "tun0", Index: tun, Kind: "tun", Up: true,
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.8.0.2/24"), netip.MustParsePrefix("2001:db8:8::2/64")}},
		{Name: "tap0", Index: tap, Kind: "tun", Ethernet: true},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// The other end's index counts in the other namespace.
func TestVethIntoAnotherNamespaceHasNoParent(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	other := exec.Command("/proc/self/exe", "-test.run=^TestSleeps$")
	other.Env = append(os.Environ(), "VPNGUARD_LINK_TEST_SLEEP=1")
	other.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	stdin, err := other.StdinPipe()
	must(t, err)
	must(t, other.Start())
	defer func() {
		stdin.Close()
		_ = other.Wait()
	}()
	h := handle(t)
	add(t, h, &netlink.Veth{LinkAttrs: attrs("veth0"), PeerName: "eth0", PeerNamespace: netlink.NsPid(other.Process.Pid)})
	links, err := List(h)
	must(t, err)
	if last := links[len(links)-1]; last.Name != "veth0" || last.Parent != 0 {
		t.Errorf("%+v", last)
	}
}

func TestSleeps(t *testing.T) {
	if os.Getenv("VPNGUARD_LINK_TEST_SLEEP") != "" {
		_, _ = os.Stdin.Read(make([]byte, 1))
	}
}

func TestRouteToTellsTheLinkOrWhyThereIsNone(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h := handle(t)
	veth := add(t, h, &netlink.Veth{LinkAttrs: attrs("eth0"), PeerName: "eth0p"}, "192.0.2.1/24", "2001:db8:1::1/64")
	tun := add(t, h, &netlink.Tuntap{LinkAttrs: attrs("tun0"), Mode: netlink.TUNTAP_MODE_TUN}, "10.8.0.2/24")
	for dst, kind := range map[string]int{
		"203.0.113.1/32": unix.RTN_BLACKHOLE, "203.0.113.2/32": unix.RTN_PROHIBIT, "203.0.113.3/32": unix.RTN_UNREACHABLE,
	} {
		_, n, _ := net.ParseCIDR(dst)
		must(t, h.RouteAdd(&netlink.Route{Dst: n, Type: kind}))
	}
	for addr, want := range map[string]int{
		"192.0.2.9": veth, "2001:db8:1::9": veth, "10.8.0.1": tun, "::ffff:10.8.0.1": tun, "192.0.2.1": 1,
	} {
		if got, err := RouteTo(h, netip.MustParseAddr(addr), 0); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", addr, got, err, want)
		}
	}
	for addr, want := range map[string]error{
		"198.51.100.1": unix.ENETUNREACH, "2001:db8:2::1": unix.ENETUNREACH, "203.0.113.1": unix.EINVAL,
		"203.0.113.2": os.ErrPermission, "203.0.113.3": unix.EHOSTUNREACH,
	} {
		if got, err := RouteTo(h, netip.MustParseAddr(addr), 0); !errors.Is(err, want) || got != 0 {
			t.Errorf("%s: %d, %v; want %v", addr, got, err, want)
		}
	}
	if _, err := RouteTo(h, netip.Addr{}, 0); err == nil {
		t.Error("no address has a route")
	}
}

func TestInterruptedDumpIsRepeatedButNotForEver(t *testing.T) {
	tries := 0
	got, err := whole(func() ([]int, error) {
		if tries++; tries < 3 {
			return []int{1}, netlink.ErrDumpInterrupted
		}
		return []int{1, 2}, nil
	})
	if err != nil || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	tries = 0
	_, err = whole(func() ([]int, error) { tries++; return nil, netlink.ErrDumpInterrupted })
	if !errors.Is(err, netlink.ErrDumpInterrupted) || tries != dumpTries {
		t.Errorf("%d tries, %v", tries, err)
	}
	_, err = whole(func() ([]int, error) { return nil, unix.EPERM })
	if !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
