package scenario

import (
	"context"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/site"
)

// environment is where the laboratory ran.
func environment(_ context.Context, _ *Order) evidence.Environment {
	e := evidence.Environment{Kernel: "unknown"}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		e.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	have := func(name string, ok bool, why string) {
		if ok {
			why = ""
		}
		e.Capabilities = append(e.Capabilities, evidence.Capability{Name: name, Have: ok, Why: why})
	}
	have("more than one uid", !lab.SingleUID(), "the caller has no subordinate ids")
	for _, tool := range []string{"nft", "ip", "nsenter", "setpriv", "busybox", "dnsmasq", "openvpn", "wg-quick", "wireguard-go", "openconnect"} {
		_, err := exec.LookPath(tool)
		have(tool, err == nil, "not in PATH")
	}
	return e
}

func topology() evidence.Topology {
	text := func(all ...interface{ String() string }) (out []string) {
		for _, a := range all {
			out = append(out, strings.TrimSpace(a.String()))
		}
		return out
	}
	return evidence.Topology{
		Nodes: []evidence.Node{
			{Name: "cl", Label: "client under audit", Addresses: text(site.Client, site.Client6), Column: 0, Row: 1},
			{Name: "ct", Label: "guest of the client", Addresses: text(site.Guest), Column: 0, Row: 0},
			{Name: "gw", Label: "the LAN's router, the attacker", Addresses: text(site.Gateway, site.Gateway6, site.WAN), Column: 1, Row: 1},
			{Name: "in", Label: "the internet", Addresses: text(site.Public, site.Web, site.Public6), Column: 2, Row: 1},
			{Name: "vp", Label: "the VPN server", Addresses: text(site.Server, site.Server6), Column: 3, Row: 1},
		},
		Links: []evidence.Link{
			{From: "cl", To: "gw", Label: "the wire"}, {From: "gw", To: "in"}, {From: "in", To: "vp"}, {From: "ct", To: "cl"},
			{From: "cl", To: "vp", Label: "the tunnel", Tunnel: true},
		},
		Vantages: []evidence.Vantage{
			{Name: atWire, Node: "gw", Peer: "cl", Supports: []string{"what leaves the client by its wire"}},
			{Name: atAttacker, Node: "gw", Peer: "cl", Supports: []string{"what the attacker sent to the client"}},
			{Name: atTunnel, Node: "vp", Peer: "cl", Supports: []string{"what came through the tunnel"}},
			{Name: atInternet, Node: "in", Peer: "gw", Supports: []string{"what reached the internet beside the tunnel"}},
			{Name: atGuest, Node: "ct", Peer: "cl", Supports: []string{"what a guest sent"}},
			{Name: atSecond, Node: "gw", Peer: "cl", Supports: []string{"what leaves the client by its second wire"}},
		},
	}
}
