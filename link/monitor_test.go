package link

import (
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	rt "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

func FuzzParseRoute(f *testing.F) {
	f.Add([]byte{unix.AF_INET, 32, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0, 8, 0, 1, 0, 8, 8, 8, 8})
	f.Add([]byte{unix.AF_INET6, 0, 0, 0, 254, 9, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, ok := parseRoute(data); ok && !r.Dst.IsValid() {
			t.Errorf("%x is a route to nowhere: %+v", data, r)
		}
		_, _ = parseEvent(rt.Message{Header: rt.Header{Type: unix.RTM_NEWROUTE}, Data: data})
	})
}

func TestMonitorTellsOfLinksRoutesAndRules(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	m, err := OpenMonitor()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	events := make(chan Event, 100)
	go func() {
		for {
			list, err := m.Next()
			if err != nil {
				close(events)
				return
			}
			for _, e := range list {
				events <- e
			}
		}
	}()
	await := func(what string, is func(Event) bool) {
		t.Helper()
		for deadline := time.After(10 * time.Second); ; {
			select {
			case e := <-events:
				if is(e) {
					return
				}
			case <-deadline:
				t.Fatalf("no event: %s", what)
			}
		}
	}
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %q: %v: %s", args, err, out)
		}
	}
	kind := func(k EventKind) func(Event) bool { return func(e Event) bool { return e.Kind == k } }
	ip("link", "add", "w0", "type", "veth", "peer", "name", "w1")
	await("a new link", kind(Changed))
	ip("link", "set", "w0", "up")
	ip("addr", "add", "192.168.9.2/24", "dev", "w0")
	ip("route", "add", "8.8.8.8/32", "via", "192.168.9.1", "dev", "w0", "proto", "dhcp")
	w0, err := net.InterfaceByName("w0")
	must(t, err)
	index := w0.Index
	await("a route", func(e Event) bool {
		r := e.Route
		return e.Kind == RouteAdded && r.Dst == netip.MustParsePrefix("8.8.8.8/32") && r.Gateway == netip.MustParseAddr("192.168.9.1") &&
			r.Oif == index && r.Protocol == unix.RTPROT_DHCP && r.Table == unix.RT_TABLE_MAIN && r.Type == unix.RTN_UNICAST
	})
	ip("-6", "route", "add", "2001:db8:80::/48", "dev", "w0")
	await("a route of IPv6", func(e Event) bool {
		return e.Kind == RouteAdded && e.Route.Dst == netip.MustParsePrefix("2001:db8:80::/48") && e.Route.Oif == index
	})
	ip("route", "del", "8.8.8.8/32")
	await("a route that went", kind(RouteRemoved))
	ip("rule", "add", "pref", "77", "table", "main")
	await("a routing rule", kind(RuleChanged))
}
