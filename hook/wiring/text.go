package wiring

import (
	"fmt"
	"maps"
	"slices"
)

// texts make the wiring of each client.
var texts = map[string]func(exe string) Wiring{
	"openvpn":             openvpn,
	"openconnect":         openconnect,
	"vpnc":                vpnc,
	"wg-quick":            wgquick,
	"networkmanager":      networkmanager,
	"pppd":                pppd,
	"strongswan":          strongswan,
	"tinc":                tinc,
	"ifupdown":            ifupdown,
	"networkd-dispatcher": networkd,
}

// Clients are the names of all clients, sorted.
func Clients() []string { return slices.Sorted(maps.Keys(texts)) }

// Missing says what to add where a client does not tell its server or device.
func Missing(client string) string {
	switch client {
	case "strongswan":
		return "give the child an XFRM interface (if_id_out) and encap = yes, and in updown: --dev IF --mark N; ESP without UDP has no port that could be told apart"
	case "pppd":
		return "give pppd `ipparam ADDR:PORT/PROTO`, or /etc/vpnguard/vpnguard.toml a line endpoints = [\"ADDR:PORT/PROTO\"]"
	case "wg-quick":
		return "no peer of its device has an endpoint: give one its Endpoint, or the hook's line --endpoint ADDR:PORT/udp"
	case "networkmanager", "networkd-dispatcher":
		return "give /etc/vpnguard/vpnguard.toml a line endpoints = [\"ADDR:PORT/PROTO\"]"
	default:
		return "give --endpoint ADDR:PORT/PROTO in the hook's line; see `vpnguard hooks show " + client + "`"
	}
}

func openvpn(exe string) Wiring {
	return Wiring{
		Pieces: []Piece{{Into: "the client's configuration, such as /etc/openvpn/client/NAME.conf", Text: OpenVPNLines(exe+" up", exe+" down", exe, true)}},
		Notes: []string{
			"OpenVPN has one `up` and one `down`, and the last ones given count: scripts that are there already must be called by one of your own, as `vpnguard hooks install` does.",
			"OpenVPN 2.7 leaves its own DNS script out where there is an `up`, unless `dns-updown force` is given.",
		},
	}
}

// OpenVPNLines are the lines of a client's configuration; more adds the hooks
// of which the configuration has none yet.
func OpenVPNLines(up, down, exe string, more bool) string {
	// Without the last line OpenVPN (2.6 does) drops what others send to its
	// server's address through the tunnel; the routing keeps its own packets out
	// for as long as there is a way to the server.
	text := fmt.Sprintf("script-security 2\nup %q\ndown %q\nallow-recursive-routing\n", up, down)
	if more {
		text += fmt.Sprintf("ipchange %q\nroute-up %q\n", exe+" up", exe+" up")
	}
	return text
}

// The files are read by the shell that runs vpnc-script, for each kind of call
// those in its directory. `exit` ends the script: a tunnel that could not be
// sealed gets neither address nor routes.
func openconnect(exe string) Wiring {
	piece := func(dir, text string) Piece {
		return Piece{Path: "/etc/vpnc/" + dir + ".d/vpnguard", Mode: 0o644, Text: text + "\n"}
	}
	return Wiring{
		Pieces: []Piece{
			piece("connect", exe+" up || exit 1"),
			piece("post-connect", exe+" up || :"), // the device can be routed by now
			piece("attempt-reconnect", exe+" up || :"),
			piece("reconnect", exe+" up || exit 1"),
			piece("post-disconnect", exe+" down || :"),
		},
		Notes: []string{
			"These are read by /usr/share/vpnc-scripts/vpnc-script, for openconnect and vpnc alike; a script of your own calls `vpnguard up` itself, for every reason.",
			"The server's port is taken from the client's sockets.",
			"Your stop and the server's end of the session are both called `disconnect`, so neither opens the host: `vpnguard down --dev tun0` does, or open_on_server_stop = true in /etc/vpnguard/vpnguard.toml for both.",
		},
	}
}

func vpnc(exe string) Wiring {
	w := openconnect(exe)
	w.Notes = []string{
		w.Notes[0], w.Notes[2],
		"vpnc needs `NAT Traversal Mode force-natt`: ESP without UDP has no port that could be told apart. Carriers are UDP 500 and 4500 of the gateway; for others give connect.d/vpnguard --endpoint ADDR:PORT/udp.",
	}
	return w
}

func wgquick(exe string) Wiring {
	return Wiring{
		Pieces: []Piece{{Into: "the section [Interface] of /etc/wireguard/NAME.conf", Text: WGQuickLines(exe, "51820")}},
		Notes: []string{
			"The peers' endpoints, the mark and the allowed IPs are read from the device; --endpoint ADDR:PORT/udp in the line names others in their place.",
			"The mark is the tunnel's own socket's: without it, packets of the tunnel and of other programs cannot be told apart, and the kernel's tunnel is refused.",
			"AllowedIPs that are all addresses of neither family make the session split: they belong in the tunnel, and all else is as it was. --profile full closes the rest as well.",
			"An endpoint that `wg set` changes later counts after the next `vpnguard up --dev NAME`.",
		},
	}
}

// WGQuickLines are the lines of a configuration's [Interface]; an empty mark adds
// none, where there is one already.
func WGQuickLines(exe, mark string) string {
	text := fmt.Sprintf("PostUp = %s up %%i\nPostDown = %s down %%i\n", exe, exe)
	if mark != "" {
		text = "FwMark = " + mark + "\n" + text
	}
	return text
}

func script(path, line string) Piece {
	return Piece{Path: path, Mode: 0o755, Text: "#!/bin/sh\n" + line + "\n"}
}

func networkmanager(exe string) Wiring {
	const dir = "/etc/NetworkManager/dispatcher.d/"
	line := "exec " + exe + ` up "$@"`
	return Wiring{
		Pieces: []Piece{script(dir+"pre-up.d/50-vpnguard", line), script(dir+"50-vpnguard", line), script(dir+"pre-down.d/50-vpnguard", line)},
		Notes: []string{
			"NetworkManager tells no server of a VPN plugin: " + Missing("networkmanager") + ".",
			"Its OpenVPN gives up root for a user of its own, who reconnects: owner = [\"root\", \"nm-openvpn\"] there.",
			"Of its own WireGuard endpoints, mark and allowed IPs are read from the device. A profile that carries everything has a mark by itself; any other needs one: nmcli connection modify NAME wireguard.fwmark 51820.",
			"strongSwan's plugin sends by IPsec policy and not by its device; it cannot be sealed.",
		},
	}
}

func pppd(exe string) Wiring {
	// pppd does not look at the exit status of its scripts.
	up, down := exe+` up "$@" || kill "$PPPD_PID"`, "exec "+exe+` down "$@"`
	return Wiring{
		Pieces: []Piece{
			script("/etc/ppp/ip-pre-up.d/50vpnguard", up), script("/etc/ppp/ip-up.d/50vpnguard", up), script("/etc/ppp/ipv6-up.d/50vpnguard", up),
			script("/etc/ppp/ip-down.d/50vpnguard", down), script("/etc/ppp/ipv6-down.d/50vpnguard", down),
		},
		Notes: []string{
			"pppd tells no server: give the link's options `ipparam ADDR:PORT/PROTO`. A link that cannot be sealed is ended, one by which others dial in as well.",
			"xl2tpd needs `force userspace = yes` in its [global]: the kernel sends L2TP with the uid of whoever uses the tunnel.",
			"Links with a line of their own, PPPoE and modems, are left alone.",
			"pppd does not tell your stop from the peer's: `vpnguard down --dev pppN` opens the host.",
		},
	}
}

func strongswan(exe string) Wiring {
	return Wiring{
		Pieces: []Piece{{Into: "swanctl.conf, connections.NAME.encap and connections.NAME.children.NAME",
			Text: "encap = yes\nif_id_in = 42\nif_id_out = 42\nset_mark_out = 42\nupdown = " + exe + " up --dev xfrm42 --mark 42\n"},
			{Into: "a file of /etc/strongswan.d, so that IKE has the mark as well, and the device the address",
				Text: "charon {\n\tinstall_routes = no\n\tinstall_virtual_ip_on = xfrm42\n\tplugins {\n\t\tsocket-default { fwmark = 42 }\n\t\tresolve { load = no }\n\t\tupdown { dns_handler = yes }\n\t}\n}\n"},
		},
		Notes: []string{
			"xfrm42 is the child's XFRM interface: ip link add xfrm42 type xfrm dev eth0 if_id 42, brought up before, with routes of yours into it. A policy without one has no device to seal.",
			"Names are set by vpnguard then: strongSwan's own resolve plugin would write to the same file.",
			"strongSwan does not tell your stop from a re-authentication: `vpnguard down --dev xfrm42` opens the host.",
		},
	}
}

func tinc(exe string) Wiring {
	return Wiring{
		Pieces: []Piece{
			{Into: "/etc/tinc/NET/tinc-up, before addresses and routes", Text: exe + " up --endpoint ADDR:655/tcp --endpoint ADDR:655/udp || exit 1\n"},
			{Into: "/etc/tinc/NET/host-up", Text: exe + " up\n"},
			{Into: "/etc/tinc/NET/tinc-down, at its end", Text: exe + " down\n"},
		},
		Notes: []string{"ADDR is each node that tincd connects to: at tinc-up it has connected to none."},
	}
}

func ifupdown(exe string) Wiring {
	return Wiring{
		Pieces: []Piece{{Into: "the tunnel's stanza in /etc/network/interfaces",
			Text: "up " + exe + " up --dev IF --endpoint ADDR:PORT/PROTO\npost-down " + exe + " down --dev IF\n"}},
		Notes: []string{"IF is the tunnel's device, ADDR:PORT/PROTO its server."},
	}
}

func networkd(exe string) Wiring {
	const dir = "/etc/networkd-dispatcher/"
	line := "exec " + exe + " up"
	return Wiring{
		Pieces: []Piece{script(dir+"routable.d/50-vpnguard", line), script(dir+"off.d/50-vpnguard", line), script(dir+"no-carrier.d/50-vpnguard", line)},
		Notes: []string{
			"Only WireGuard devices count, unless the line names one: --dev IF.",
			"Of WireGuard endpoints, mark and allowed IPs are read from the device, whose .netdev needs FirewallMark=51820 in [WireGuard]. Of any other device: " + Missing("networkd-dispatcher") + ".",
			"Its calls come late: `vpnguard lock` closes the host before. None of them opens it: `vpnguard down --dev IF` does.",
		},
	}
}
