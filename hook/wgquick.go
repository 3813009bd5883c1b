package hook

import (
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
)

// wg-quick and its forks tell nothing but what the line in the configuration
// says: `vpnguard up %i` at PostUp and `vpnguard down %i` at PostDown. The rest is
// read from the device, which has it all by PostUp. Only somebody on this host
// runs it, and no peer has a say in it.

var wgQuicks = []string{"wg-quick", "awg-quick"}

func recogniseWGQuick(in input) (Call, bool) {
	switch {
	case !slices.Contains(wgQuicks, in.parent.Comm):
		return Call{}, false
	case in.command == CommandDown:
		return Call{Event: EventStop, Cause: "wg-quick"}, true
	default:
		return Call{Event: EventRoutes}, true
	}
}

func readWGQuick(r *reader, in input, c *Call) {
	if len(in.args) == 0 {
		return // the line may name the device by a flag
	}
	if dev, ok := value(r, "argument", in.args[0], endpoint.ParseIfName); ok {
		c.Dev = dev.String()
	}
}
