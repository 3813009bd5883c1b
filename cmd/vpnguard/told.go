package main

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/hook"
	"github.com/vpnguard/vpnguard/hook/wiring"
	"github.com/vpnguard/vpnguard/owner"
)

// concerns tells a tunnel's call from a wire's, where the client calls for
// each device of the host. WireGuard is a tunnel by its kind. A tun device may
// be a virtual machine's, so that any other must be named in the hook's line.
func (c *upCommand) concerns(g *host, call hook.Call) bool {
	switch {
	case !call.AnyDevice:
		return true
	case c.Dev != "":
		return call.Dev == c.Dev.String()
	case call.Event == hook.EventStop, call.Event == hook.EventRestart:
		return true // only what is recorded can end
	}
	links, err := g.Links.List()
	if err != nil {
		return true // so that the error is said
	}
	for _, l := range links {
		if l.Name == call.Dev {
			return l.Kind == "wireguard"
		}
	}
	return false
}

// withSockets finds the server's port where the client tells its address
// alone: the client's own sockets are connected to it already. The datagrams
// of DTLS go to the same port, unless they go elsewhere already.
func withSockets(call hook.Call) hook.Call {
	pid := clientPID(call)
	if call.Client != "openconnect" || !call.Server.IsValid() || pid == 0 {
		return call
	}
	found, err := owner.Sockets(pid, "")
	if err != nil || found.Match != owner.MatchFile {
		return call
	}
	var tcp, udp []endpoint.Endpoint
	for _, s := range found.Sockets {
		if s.Remote.Addr().Unmap() != call.Server || s.Remote.Port() == 0 {
			continue
		}
		remote := netip.AddrPortFrom(call.Server, s.Remote.Port())
		if s.Protocol == owner.TCP {
			tcp = append(tcp, endpoint.Endpoint{Addr: remote, Proto: endpoint.TCP})
		}
		udp = append(udp, endpoint.Endpoint{Addr: remote, Proto: endpoint.UDP})
	}
	if ends := append(tcp, udp...); len(ends) > 0 {
		call.Standard = ends
	}
	return call
}

// missing says what to add to a hook whose client does not tell enough.
func missing(r guard.Request, call hook.Call, byHand bool) error {
	switch {
	case byHand:
	case len(r.Endpoints) == 0 && len(r.Names) == 0:
		return &usageError{fmt.Errorf("%s does not tell where its server is", call.Client), wiring.Missing(call.Client)}
	case r.Dev == "":
		return &usageError{fmt.Errorf("%s does not tell its tunnel device", call.Client), wiring.Missing(call.Client)}
	}
	return nil
}

// withRecord compares a client's `down` with what is recorded. known is false
// for a call about no session of this client's: a wire, or a tunnel that was
// ended before. Who ended a client that reconnects is less known than even a
// configuration that trusts its server allows: its link may have been jammed.
func withRecord(g *host, call hook.Call) (_ hook.Call, known bool) {
	if call.Client == "openvpn" {
		return call, true // finds its session by its process
	}
	s, ok := g.Session(call.Dev)
	if !ok || s.Client != call.Client && slices.Contains(hook.Clients(), s.Client) {
		return call, false
	}
	if call.Cause == "disconnect" && !s.Up {
		call.Event, call.Cause = hook.EventRestart, call.Cause+" while reconnecting"
	}
	return call, true
}
