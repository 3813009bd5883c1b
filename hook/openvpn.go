package hook

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// scriptTypes are all values of script_type (openvpn(8), 2.6; dns-updown: 2.7).
var scriptTypes = []string{
	"up", "down", "ipchange", "route-up", "route-pre-down", "tls-verify",
	"auth-user-pass-verify", "client-connect", "client-disconnect",
	"client-crresponse", "learn-address", "tls-crypt-v2-verify", "dns-updown",
}

// stopSignals come from this host alone. exit-with-notification is not one of
// them: the server can push explicit-exit-notify, and then OpenVPN 2.6 gives
// its own orders to halt, and pushed inactive and ping-exit, the same name.
var stopSignals = []string{"sigterm", "sigint"}

func recogniseOpenVPN(in input) (Call, bool) {
	_, interim, ownArgs := openvpnArgs(in.args)
	c := Call{Interim: interim || in.env["script_context"] == "restart"}
	kind, typed := in.env["script_type"]
	switch {
	case slices.Contains(scriptTypes, kind):
	case typed && in.env.has("daemon_pid"):
		// A type of a later version.
	case ownArgs && in.command == CommandDown:
		// A wrapper cleaned the environment (sudo): the cause is lost.
		kind = "down"
	case ownArgs:
		kind = "up"
	case in.command == CommandDown && (in.parent.Comm == "openvpn" || frozen(in.env)):
		// The down-root plugin: own arguments only, environment of the start,
		// so that a signal in it is not the one of now.
		return Call{Event: EventRestart, Cause: "unknown"}, true
	default:
		return c, false
	}
	signal, signalled := in.env["signal"]
	if signalled || kind == "down" {
		c.Cause = parseCause(signal)
	}
	c.Event = classifyOpenVPN(kind, signal, c.Interim)
	return c, true
}

// frozen recognises the environment that the down-root plugin copied when
// OpenVPN started: that of `up`, without script_type.
func frozen(env environment) bool {
	return env.has("daemon_pid") && (env.has("config") || len(env.numbers("remote_")) > 0)
}

// openvpnArgs recognises what OpenVPN appends to an `up` or `down` command:
// device, MTU, link MTU, local address, netmask or peer, init or restart.
// Addresses are empty arguments if the device has none.
func openvpnArgs(args []string) (dev string, interim, ok bool) {
	if len(args) < 6 {
		return "", false, false
	}
	a := args[len(args)-6:]
	name, err := endpoint.ParseIfName(a[0])
	if err != nil || !decimal(a[1]) || !decimal(a[2]) || !addrOrEmpty(a[3]) || !addrOrEmpty(a[4]) {
		return "", false, false
	}
	return name.String(), a[5] == "restart", a[5] == "init" || a[5] == "restart"
}

func decimal(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func addrOrEmpty(s string) bool {
	_, err := netip.ParseAddr(s)
	return s == "" || err == nil
}

func classifyOpenVPN(kind, signal string, interim bool) Event {
	switch kind {
	case "up":
		return EventUp
	case "ipchange":
		return EventEndpoint
	case "route-up":
		return EventRoutes
	case "down":
		// A kept device means that the client goes on, whatever the signal.
		if slices.Contains(stopSignals, signal) && !interim {
			return EventStop
		}
		return EventRestart
	default:
		return EventIgnore
	}
}

// parseCause passes OpenVPN's token for the reason on, and no other text.
// "UNKNOWN" is the one that it writes in capitals: the pushed options changed.
func parseCause(signal string) string {
	if signal == "UNKNOWN" {
		return signal
	}
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789_-"
	if signal == "" || len(signal) > 64 || strings.Trim(signal, alphabet) != "" {
		return "unknown"
	}
	return signal
}
