package hook

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// NetworkManager's dispatcher calls with the interface and the action as
// arguments; of a VPN plugin, and of its own WireGuard as of any device.

// nmActions are the actions that mean something (NetworkManager-dispatcher(8)).
// A VPN is told before it ends only by somebody's order on this host; one whose
// plugin, server or uplink fails is told afterwards alone.
var nmActions = map[string]Event{
	"vpn-pre-up":   EventUp, // routes are in already; NetworkManager waits
	"vpn-up":       EventRoutes,
	"vpn-pre-down": EventStop,
	"vpn-down":     EventRestart,
	"pre-up":       EventUp, // without any address
	"up":           EventRoutes,
	"pre-down":     EventStop,
	"down":         EventRestart,
}

func recogniseNetworkManager(in input) (Call, bool) {
	action, ok := in.env["NM_DISPATCHER_ACTION"]
	if !ok {
		return Call{}, false
	}
	c := Call{Event: nmActions[action], AnyDevice: !strings.HasPrefix(action, "vpn-")}
	if in.env["CONNECTION_EXTERNAL"] == "1" {
		// A device that somebody else made, such as a plugin's own tunnel,
		// which vpn-* has told already.
		c.Event = EventIgnore
	}
	if c.Event == EventStop || c.Event == EventRestart {
		c.Cause = action
	}
	return c, true
}

func readNetworkManager(r *reader, in input, c *Call) {
	prefix, device := "VPN_IP", "VPN_IP_IFACE"
	if c.AnyDevice {
		prefix, device = "IP", "DEVICE_IP_IFACE"
	}
	if dev, ok := need(r, device, "NM_DISPATCHER_ACTION", endpoint.ParseIfName); ok {
		c.Dev = dev.String()
	}
	if len(in.args) > 0 && c.Dev != "" && in.args[0] != c.Dev {
		r.fail(device, c.Dev, "another device than in the arguments")
	}
	// What a DHCP server says of a wire is no reason to fail.
	r.strict = r.strict && !c.AnyDevice
	c.ConfigFile, _ = read(r, "CONNECTION_FILENAME", parsePath)
	for _, family := range []string{"4", "6"} {
		readNMFamily(r, c, prefix+family+"_")
	}
}

// readNMFamily takes one family's values. A gateway of 0.0.0.0 stands for none
// in both families; gateways are not used.
func readNMFamily(r *reader, c *Call, p string) {
	for _, n := range r.env.numbersBetween(p+"ADDRESS_", "") {
		key := p + "ADDRESS_" + strconv.Itoa(n)
		a, ok := read(r, key, firstField(parseLinkAddress))
		if ok && !a.Addr().IsLinkLocalUnicast() {
			c.Addresses = put(r, c.Addresses, a, maxAddresses, key)
		}
	}
	for _, s := range r.fields(p+"NAMESERVERS", " ") {
		if a, ok := value(r, p+"NAMESERVERS", s, endpoint.ParseAddr); ok {
			c.Resolvers = put(r, c.Resolvers, a, maxResolvers, p+"NAMESERVERS")
		}
	}
	for _, s := range r.fields(p+"DOMAINS", " ") {
		if d, ok := value(r, p+"DOMAINS", s, endpoint.ParseName); ok {
			c.SearchDomains = put(r, c.SearchDomains, d, maxDomains, p+"DOMAINS")
		}
	}
	for _, n := range r.env.numbersBetween(p+"ROUTE_", "") {
		key := p + "ROUTE_" + strconv.Itoa(n)
		route, ok := read(r, key, firstField(parsePrefix))
		if ok && !route.Addr().IsLinkLocalUnicast() {
			c.Routes = put(r, c.Routes, route, maxRoutes, key)
		}
	}
	// The default route is never listed: full or split is not to be seen here.
}

// firstField parses what stands before the first space.
func firstField[T any](parse func(string) (T, error)) func(string) (T, error) {
	return func(s string) (T, error) {
		first, _, _ := strings.Cut(s, " ")
		return parse(first)
	}
}

// parseLinkAddress reads an address of the tunnel's own with its link's length.
func parseLinkAddress(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() || p.Bits() == 0 {
		return netip.Prefix{}, errors.New("not an address with its prefix length")
	}
	return p, endpoint.CheckAddr(p.Addr())
}

// parsePrefix reads a route's destination.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("not a prefix")
	}
	return p.Masked(), nil
}
