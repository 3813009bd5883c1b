package sysctl

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const childEnv = "VPNGUARD_SYSCTL_TEST_CHILD"

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
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

func handle(t *testing.T) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// veth makes name with address, and its far end name+"p", both up.
func veth(t *testing.T, h *netlink.Handle, name, address string) (near, far netlink.Link) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(t, h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}))
	return up(t, h, name, address), up(t, h, name+"p", "")
}

func tun(t *testing.T, h *netlink.Handle, name, address string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	must(t, h.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN}))
	up(t, h, name, address)
}

func up(t *testing.T, h *netlink.Handle, name, address string) netlink.Link {
	t.Helper()
	link, err := h.LinkByName(name)
	must(t, err)
	if address != "" {
		ip, ipnet, err := net.ParseCIDR(address)
		must(t, err)
		ipnet.IP = ip
		must(t, h.AddrAdd(link, &netlink.Addr{IPNet: ipnet}))
	}
	must(t, h.LinkSetUp(link))
	return link
}

func set(t *testing.T, knob func(string) (Knob, error), iface string, value int) {
	t.Helper()
	k, err := knob(iface)
	must(t, err)
	o, err := FS{}.open(k)
	must(t, err)
	must(t, errors.Join(o.write(value), o.close())) // as others would: any value
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
