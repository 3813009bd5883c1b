package hook

import (
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
)

// ifupdown and networkd-dispatcher call for every device of the host. Neither
// knows a server.

// recogniseIfupdown tells `pre-up` and `pre-down` apart from what follows: the
// device does not exist yet, and is still in use.
func recogniseIfupdown(in input) (Call, bool) {
	for _, key := range []string{"IFACE", "PHASE", "MODE", "METHOD", "LOGICAL"} {
		if !in.env.has(key) {
			return Call{}, false
		}
	}
	c := Call{AnyDevice: true}
	switch {
	case in.env["METHOD"] == "NetworkManager", in.env["METHOD"] == "loopback", in.env["IFACE"] == "--all":
		// NetworkManager speaks for itself; --all is no device.
	case in.env["PHASE"] == "post-up":
		c.Event = EventUp
	case in.env["PHASE"] == "post-down":
		c.Event, c.Cause = EventStop, "post-down"
	}
	return c, true
}

func readIfupdown(r *reader, _ input, c *Call) {
	if dev, ok := need(r, "IFACE", "PHASE", endpoint.ParseIfName); ok {
		c.Dev = dev.String()
	}
	r.strict = false // a wire must come up whatever its options are
	c.MTU, _ = read(r, "IF_MTU", intIn(68, 65535))
	for _, s := range r.fields("IF_DNS_NAMESERVERS", " ") {
		if a, ok := value(r, "IF_DNS_NAMESERVERS", s, endpoint.ParseAddr); ok {
			c.Resolvers = put(r, c.Resolvers, a, maxResolvers, "IF_DNS_NAMESERVERS")
		}
	}
	for _, s := range r.fields("IF_DNS_SEARCH", " ") {
		if d, ok := value(r, "IF_DNS_SEARCH", s, endpoint.ParseName); ok {
			c.SearchDomains = put(r, c.SearchDomains, d, maxDomains, "IF_DNS_SEARCH")
		}
	}
}

// gone are the states in which a tunnel does not work.
var gone = []string{"off", "no-carrier", "dormant"}

// recogniseNetworkd takes no event for a stop: they are late and not always
// true any more.
func recogniseNetworkd(in input) (Call, bool) {
	for _, key := range []string{"IFACE", "STATE", "OperationalState", "AdministrativeState"} {
		if !in.env.has(key) {
			return Call{}, false
		}
	}
	c := Call{AnyDevice: true}
	if state := in.env["STATE"]; state == "routable" {
		c.Event = EventRoutes
	} else if slices.Contains(gone, state) {
		c.Event, c.Cause = EventRestart, state
	}
	return c, true
}

func readNetworkd(r *reader, _ input, c *Call) {
	if dev, ok := need(r, "IFACE", "STATE", endpoint.ParseIfName); ok {
		c.Dev = dev.String()
	}
}
