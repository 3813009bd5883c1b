package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/wireguard"
)

func byUDP(at string) endpoint.Endpoint {
	return endpoint.Endpoint{Addr: netip.MustParseAddrPort(at), Proto: endpoint.UDP}
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// wgDevice is a device of the kernel with a peer, and one that was not heard of.
func wgDevice(mark uint32, allowed ...string) wireguard.Device {
	return wireguard.Device{Name: "wg0", Kernel: true, Mark: mark, Peers: []wireguard.Peer{
		{Endpoint: netip.MustParseAddrPort("203.0.113.5:51820"), Allowed: prefixes(allowed...)}, {},
	}}
}

func TestARequestIsCompletedFromItsWireGuardDevice(t *testing.T) {
	const all = ^uint32(0)
	server, other := byUDP("203.0.113.5:51820"), byUDP("203.0.113.9:1")
	for name, c := range map[string]struct {
		device wireguard.Device
		fails  error
		ask    guard.Request
		named  bool
		want   guard.Request
		says   string // of an error
	}{
		"all of it": {
			device: wgDevice(0xca6c, "0.0.0.0/0"), ask: guard.Request{Dev: "wg0"},
			want: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{server}, Mark: 0xca6c, Mask: all},
		},
		"beside what the configuration names": {
			device: wgDevice(7, "::/0"), ask: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{other, server}},
			want: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{other, server}, Mark: 7, Mask: all},
		},
		"flags win": {
			device: wgDevice(0x107, "0.0.0.0/0"), named: true, ask: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{other}, Mark: 7, Mask: 0xff},
			want: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{other}, Mark: 7, Mask: 0xff},
		},
		"another mark than was said": {
			device: wgDevice(7, "0.0.0.0/0"), ask: guard.Request{Dev: "wg0", Mark: 8, Mask: all}, says: "sends with mark 0x7, not with 0x8",
		},
		"no mark": { // the guard refuses that
			device: wgDevice(0, "0.0.0.0/0"), ask: guard.Request{Dev: "wg0"},
			want: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{server}},
		},
		"a user was named": {
			device: wgDevice(7, "0.0.0.0/0"), ask: guard.Request{Dev: "wg0", UIDs: []uint32{5}},
			want: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{server}, UIDs: []uint32{5}},
		},
		"allowed IPs that are not everything": {
			device: wgDevice(7, "10.0.0.0/8", "fd00::/8"), ask: guard.Request{Dev: "wg0"},
			want: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{server}, Mark: 7, Mask: all, Split: true, Routes: prefixes("10.0.0.0/8", "fd00::/8")},
		},
		"split that was asked for": {
			device: wgDevice(7, "0.0.0.0/0"), ask: guard.Request{Dev: "wg0", Explicit: true, Profile: rules.Split},
			want: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{server}, Mark: 7, Mask: all, Explicit: true, Profile: rules.Split, Routes: prefixes("0.0.0.0/0")},
		},
		"full that was asked for": {
			device: wgDevice(7, "10.0.0.0/8"), ask: guard.Request{Dev: "wg0", Explicit: true, Profile: rules.Full},
			want: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{server}, Mark: 7, Mask: all, Explicit: true, Profile: rules.Full, Split: true},
		},
		"routes that the client told": {
			device: wgDevice(7, "10.0.0.0/8"), ask: guard.Request{Dev: "wg0", Routes: prefixes("10.1.0.0/16")},
			want: guard.Request{Dev: "wg0", Endpoints: []endpoint.Endpoint{server}, Mark: 7, Mask: all, Split: true, Routes: prefixes("10.1.0.0/16")},
		},
		"no peer": {
			device: wireguard.Device{Name: "wg0", Kernel: true, Mark: 7}, ask: guard.Request{Dev: "wg0"},
			want: guard.Request{Dev: "wg0", Mark: 7, Mask: all},
		},
		"no WireGuard": {
			fails: fmt.Errorf("x: %w", os.ErrNotExist), ask: guard.Request{Dev: "tun0"}, want: guard.Request{Dev: "tun0"},
		},
		"no device": {
			fails: errors.New("asked"), want: guard.Request{},
		},
		"one that does not tell": {
			fails: os.ErrPermission, ask: guard.Request{Dev: "wg0"}, says: "permission denied; nothing was changed",
		},
		"one that need not tell": {
			fails: os.ErrPermission, named: true, ask: guard.Request{Dev: "wg0", Mark: 7, Mask: all}, want: guard.Request{Dev: "wg0", Mark: 7, Mask: all},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.ask
			err := ofDevice(&r, c.named, func(string) (wireguard.Device, error) { return c.device, c.fails })
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v, want %q", err, c.says)
				}
				return
			}
			if diff := cmp.Diff(c.want, r, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestPeersOverTheKernelChangeWithinTheSeal(t *testing.T) {
	split := guard.Session{Profile: rules.Split, Endpoints: []endpoint.Endpoint{byUDP("203.0.113.5:51820")}, Addresses: prefixes("10.8.0.1/24"), Routes: prefixes("192.0.2.0/24")}
	full := split
	full.Profile = rules.Full
	allowed := func(list ...string) (c engine.PeerChange) {
		for _, p := range prefixes(list...) {
			c.Allowed = append(c.Allowed, engine.AllowedChange{Prefix: p})
		}
		return c
	}
	at := func(s string) engine.PeerChange {
		a := netip.MustParseAddrPort(s)
		return engine.PeerChange{Endpoint: &a}
	}
	for _, c := range []struct {
		session guard.Session
		change  engine.PeerChange
		says    string // empty: permitted
	}{
		{split, allowed("10.8.0.9/32", "192.0.2.0/25"), ""},
		{split, allowed("10.8.0.0/23"), "sealed around the addresses"},
		{split, allowed("10.8.0.9/32", "8.8.8.8/32"), "sealed around the addresses"},
		{full, allowed("8.8.8.8/32", "2000::/3"), ""},
		{split, at("203.0.113.5:51820"), ""},
		{full, at("203.0.113.5:51821"), "sealed around the endpoints"},
		{split, engine.PeerChange{Remove: true}, ""},
	} {
		err := permitted(c.session, c.change)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, want %q", c.change, err, c.says)
		}
	}
}

func TestADeviceOfTheKernelIsShownAsAnyOther(t *testing.T) {
	at := time.Unix(1700000000, 0)
	d := wireguard.Device{Name: "wg0", Kernel: true, Public: key.Public{1}, Port: 51820, Mark: 0xca6c, Peers: []wireguard.Peer{
		{Public: key.Public{2}, Preshared: true, Endpoint: netip.MustParseAddrPort("203.0.113.5:1"), Allowed: prefixes("10.0.0.0/8"), LastHandshake: at, RxBytes: 2048, TxBytes: 3, Keepalive: 25 * time.Second},
	}}
	want := `tunnel wg0
  key        AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
  port       51820
  mark       0xca6c
peer AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
  endpoint   203.0.113.5:1
  allowed    10.0.0.0/8
  handshake  7s ago
  received   2.00 KiB
  sent       3 B
  keepalive  every 25s
  preshared  yes
`
	if diff := cmp.Diff(want, tunnelText(statusOf(d), at.Add(7*time.Second))); diff != "" {
		t.Error(diff)
	}
}
