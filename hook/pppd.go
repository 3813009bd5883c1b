package hook

import (
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// pppd calls for every link of the host, modems and PPPoE included, with
// interface, tty, speed, local and remote address and ipparam as arguments.
// The program's name says what happened and is not told.

func recognisePPPD(in input) (Call, bool) {
	if !in.env.has("PPPD_PID") || !in.env.has("IFNAME") || !in.env.has("PPPLOGNAME") && !in.env.has("ORIG_UID") {
		return Call{}, false
	}
	switch {
	case !ofLink(in.args), isWire(in.env, in.args):
		return Call{}, true
	case in.command == CommandDown, in.env.has("CONNECT_TIME"):
		// The peer's order, a lost link and the user's stop look alike.
		return Call{Event: EventRestart, Cause: "unknown"}, true
	default:
		return Call{Event: EventUp}, true
	}
}

// ofLink recognises the arguments of ip-* and ipv6-*; those of auth-up and
// auth-down have names in the place of addresses. None at all may come from a
// script that does not pass them on.
func ofLink(args []string) bool {
	return len(args) == 0 ||
		len(args) >= 5 && decimal(args[2]) && args[3] != "" && addrOrEmpty(args[3]) && addrOrEmpty(args[4])
}

// isWire tells an uplink (PPPoE, a modem) from a tunnel, which has no line, or
// a pseudo-terminal that a program serves.
func isWire(env environment, args []string) bool {
	line := env["DEVICE"]
	if len(args) > 1 && line == "" {
		line = args[1]
	}
	return line != "" && !strings.HasPrefix(line, "/dev/pts/") && line != "/dev/ptmx"
}

func readPPPD(r *reader, in input, c *Call) {
	if dev, ok := read(r, "IFNAME", endpoint.ParseIfName); ok {
		c.Dev = dev.String()
		if len(in.args) > 0 && in.args[0] != c.Dev {
			r.fail("IFNAME", c.Dev, "another device than in the arguments")
		}
	}
	c.PID, _ = read(r, "PPPD_PID", intIn(1, 1<<22))
	if a, ok := read(r, "IPLOCAL", parseIPv4); ok {
		c.Addresses = append(c.Addresses, single(a))
	}
	if r.env["USEPEERDNS"] == "1" {
		for _, key := range []string{"DNS1", "DNS2"} {
			if a, ok := read(r, key, endpoint.ParseAddr); ok {
				c.Resolvers = put(r, c.Resolvers, a, maxResolvers, key)
			}
		}
	}
	param := r.env["PPP_IPPARAM"]
	if len(in.args) > 5 {
		param = in.args[5]
	}
	// pppd has no line where the kernel itself carries the link's frames: L2TP, PPTP.
	c.InKernel = !r.env.has("SPEED")
	readIPParam(c, param, c.InKernel)
}

// readIPParam takes endpoints, separated by commas, or an address alone, as
// xl2tpd gives it: L2TP has no line and no speed, and one port (RFC 2661). Any
// other text is the administrator's for another purpose.
func readIPParam(c *Call, param string, noSpeed bool) {
	if a, err := endpoint.ParseAddr(param); err == nil && noSpeed {
		c.Server = a
		c.Standard = standard(a, []endpoint.OrName{{Port: 1701, Proto: endpoint.UDP}})
		return
	}
	for _, s := range strings.Split(param, ",") {
		if e, err := endpoint.ParseOrName(s); err == nil && len(c.Remotes) < maxRemotes {
			c.Remotes = append(c.Remotes, Remote{Host: e.Host, Port: e.Port, Proto: e.Proto})
		}
	}
}
