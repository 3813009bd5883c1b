package host

import (
	"slices"

	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/survey"
)

// upper are links that have their frames go out by others, where they are seen.
var upper = []string{"bridge", "bond", "team", "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "dummy", "ifb", "vrf", "vxlan", "geneve"}

// Physical are the links at which frames leave the machine: those that are up,
// below every bridge and every child, and no tunnel's. A veth or tap at a bridge
// is a guest's.
func Physical(all []link.Link, tunnels []string) []link.Link {
	var out []link.Link
	for _, l := range all {
		inner := l.Master != 0 && (l.Kind == "veth" || l.Kind == "tun") || l.Kind == "veth" && l.Parent != 0
		if l.Loopback || !l.Up || inner || slices.Contains(upper, l.Kind) || slices.Contains(tunnels, l.Name) || survey.VPN(l.Kind) {
			continue
		}
		out = append(out, l)
	}
	return out
}
