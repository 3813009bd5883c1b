package wireguard

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestAnAliasIsOursOnlyAsItIsWritten(t *testing.T) {
	m := Maker{PID: 4194304, Start: 18446744073709551615}
	if got, ok := maker(m.alias()); !ok || got != m {
		t.Errorf("%q: %+v, %v", m.alias(), got, ok)
	}
	if len(m.alias()) > 255 { // IFALIASZ of linux/if.h, less its zero
		t.Errorf("%q is too long", m.alias())
	}
	for _, text := range []string{"", "vpnguard tunnel", m.alias() + " ", strings.Replace(m.alias(), "4194304", "04194304", 1), "x" + m.alias()} {
		if got, ok := maker(text); ok {
			t.Errorf("%q passes for %+v", text, got)
		}
	}
}

// A kernel that has no WireGuard says so, and nothing is left of the try.
func TestTheKernelsDeviceIsMadeAndRemovedOrRefused(t *testing.T) {
	if err := os.WriteFile(redirects, []byte("1\n"), 0); err != nil {
		t.Fatal(err)
	}
	by := Maker{PID: os.Getpid(), Start: 7}
	err := Make("wgk0", by, 0, 0xca6c)
	if !hasWireGuard(t) {
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v, want %v", err, ErrUnsupported)
		}
		if _, err := net.InterfaceByName("wgk0"); err == nil {
			t.Error("a device is left")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(redirects); err != nil || string(text) != "1\n" {
		t.Errorf("the host's redirects are not as they were: %q, %v", text, err)
	}
	d, err := Read("wgk0")
	if err != nil || !d.Kernel || d.Mark != 0xca6c || d.Port == 0 || !d.Public.IsZero() || len(d.Peers) > 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if i, err := net.InterfaceByName("wgk0"); err != nil || i.Flags&net.FlagUp == 0 {
		t.Errorf("%+v, %v", i, err)
	} else if a, err := i.Addrs(); err != nil || len(a) > 0 {
		t.Errorf("it has addresses %v, %v", a, err)
	}
	if err := Make("wgk0", by, 0, 1); !errors.Is(err, os.ErrExist) {
		t.Errorf("made twice: %v", err)
	}
	if err := Make("wgk1", by, d.Port, 1); !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "somebody else's") {
		t.Errorf("made with a port that is taken: %v", err)
	}
	if _, err := net.InterfaceByName("wgk1"); err == nil {
		t.Error("a device with a port that is taken is left")
	}
	other(t, "wgk2")
	made, err := Made()
	if names, e := Names(); err != nil || e != nil || len(made) != 1 || made["wgk0"] != by || !slices.Equal(names, []string{"wgk0", "wgk2"}) {
		t.Errorf("made %v of %v, %v", made, names, errors.Join(err, e))
	}
	for _, name := range []string{"wgk0", "wgk0", "wgk2", "lo"} {
		if err := Remove(name); err != nil {
			t.Error(err)
		}
	}
	if names, err := Names(); err != nil || !slices.Equal(names, []string{"wgk2"}) {
		t.Errorf("after removing what is ours: %v, %v", names, err)
	}
}

// hasWireGuard asks the kernel without the code under test.
func hasWireGuard(t *testing.T) bool {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "proof"
	link := &netlink.GenericLink{LinkAttrs: attrs, LinkType: "wireguard"}
	if err := h.LinkAdd(link); err != nil {
		t.Logf("this kernel has no WireGuard: %v", err)
		return false
	}
	if err := h.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	return true
}

// other makes a device that is not ours.
func other(t *testing.T, name string) {
	t.Helper()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	if err := h.LinkAdd(&netlink.Wireguard{LinkAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
}
