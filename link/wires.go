package link

import "slices"

// Wires returns every link that is neither loopback, nor one of tunnels, nor one
// of guests, nor a virtual port of a guest bridge. Names must match exactly.
// What is not known to be harmless is a wire: also a link that is down, a VLAN,
// a macvlan, a bridge that nobody named.
//
// Only veth and tun ports of a guest bridge are guests. Any other port stays a
// wire: a bridge that guests share with a network card leads outside.
func Wires(links []Link, tunnels, guests []string) []Link {
	guestBridge := map[int]bool{}
	for _, l := range links {
		if l.Kind == "bridge" && slices.Contains(guests, l.Name) {
			guestBridge[l.Index] = true
		}
	}
	guestPort := func(l Link) bool {
		return guestBridge[l.Master] && (l.Kind == "veth" || l.Kind == "tun")
	}
	var wires []Link
	for _, l := range links {
		if l.Loopback || slices.Contains(tunnels, l.Name) || slices.Contains(guests, l.Name) || guestPort(l) {
			continue
		}
		wires = append(wires, l)
	}
	return wires
}
