package hook

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// OpenConnect and vpnc share the protocol of vpnc-script: one script for all,
// and `reason` says what happened. OpenConnect ignores how the script exits.

// reasons are all values of `reason` (vpnc-scripts, 2022) and their events.
//
// `disconnect` is no stop by anybody that is known: SIGINT, SIGTERM and SIGHUP
// lead there, but so do a server that ends the session and a reconnect that
// took too long, and no variable tells them apart. The last one follows on
// `attempt-reconnect`: a caller that remembers the restart knows it.
var reasons = map[string]Event{
	"pre-init":               EventIgnore, // there is no device yet
	"connect":                EventUp,     // the device exists, has no address and is down
	"post-connect":           EventRoutes,
	"attempt-reconnect":      EventRestart,
	"post-attempt-reconnect": EventIgnore,
	"reconnect":              EventUp,
	"disconnect":             EventRestart,
	"post-disconnect":        EventIgnore,
}

func recogniseVPNC(in input) (Call, bool) {
	reason, ok := in.env["reason"]
	event, known := reasons[reason]
	switch {
	case !ok, !known && !in.env.has("VPNGATEWAY"):
		return Call{}, false
	case !known:
		return Call{}, true // of a later version
	case reason != "pre-init" && !in.env.has("TUNDEV") && !in.env.has("VPNGATEWAY"):
		return Call{}, false // a variable of somebody else
	}
	c := Call{Event: event}
	if event == EventRestart {
		c.Cause = reason
	}
	return c, true
}

// whichVPNC tells the two apart. vpnc sets neither VPNPID (OpenConnect 9.0) nor
// any of the variables of Cisco's HTTPS protocol.
func whichVPNC(in input) string {
	for _, key := range []string{"VPNPID", "CISCO_CSTP_OPTIONS", "INTERNAL_IP4_MTU", "IDLE_TIMEOUT", "LOG_LEVEL"} {
		if in.env.has(key) {
			return "openconnect"
		}
	}
	if in.parent.Comm == "openconnect" {
		return "openconnect"
	}
	return "vpnc"
}

// standardPorts of the carriers, as no variable has one: TLS and DTLS; IKE and
// ESP in UDP (RFC 3948).
var standardPorts = map[string][]endpoint.OrName{
	"openconnect": {{Port: 443, Proto: endpoint.TCP}, {Port: 443, Proto: endpoint.UDP}},
	"vpnc":        {{Port: 500, Proto: endpoint.UDP}, {Port: 4500, Proto: endpoint.UDP}},
}

func standard(server netip.Addr, ports []endpoint.OrName) []endpoint.Endpoint {
	var list []endpoint.Endpoint
	for _, p := range ports {
		if server.IsValid() {
			list = append(list, endpoint.Endpoint{Addr: netip.AddrPortFrom(server, p.Port), Proto: p.Proto})
		}
	}
	return list
}

func readVPNC(r *reader, _ input, c *Call) {
	c.Comm = c.Client
	if dev, ok := need(r, "TUNDEV", "reason", endpoint.ParseIfName); ok {
		c.Dev = dev.String()
	}
	c.PID, _ = read(r, "VPNPID", intIn(1, 1<<22))
	c.MTU, _ = read(r, "INTERNAL_IP4_MTU", intIn(68, 65535))
	c.Server, _ = need(r, "VPNGATEWAY", "reason", endpoint.ParseAddr)
	c.Standard = standard(c.Server, standardPorts[c.Client])
	c.Addresses = readCiscoAddresses(r)
	for _, s := range r.fields("INTERNAL_IP4_DNS", " ") {
		if a, ok := value(r, "INTERNAL_IP4_DNS", s, endpoint.ParseAddr); ok {
			c.Resolvers = put(r, c.Resolvers, a, maxResolvers, "INTERNAL_IP4_DNS")
		}
	}
	for _, s := range r.fields("CISCO_DEF_DOMAIN", " ") {
		if d, ok := value(r, "CISCO_DEF_DOMAIN", s, endpoint.ParseName); ok {
			c.SearchDomains = put(r, c.SearchDomains, d, maxDomains, "CISCO_DEF_DOMAIN")
		}
	}
	// OpenConnect tells lists in the reverse of the server's order.
	for _, s := range slices.Backward(r.fields("CISCO_SPLIT_DNS", ",")) {
		if d, ok := value(r, "CISCO_SPLIT_DNS", s, endpoint.ParseName); ok {
			c.RouteDomains = put(r, c.RouteDomains, d, maxDomains, "CISCO_SPLIT_DNS")
		}
	}
	readCiscoRoutes(r, c)
}

// readCiscoAddresses takes the tunnel's own addresses. INTERNAL_IP6_NETMASK is
// the address again with its length, or the length.
func readCiscoAddresses(r *reader) []netip.Prefix {
	list := readPrefix(r, nil, "INTERNAL_IP4_ADDRESS", parseIPv4, "INTERNAL_IP4_NETMASK", parseLinkMask)
	return readPrefix(r, list, "INTERNAL_IP6_ADDRESS", parseIPv6, "INTERNAL_IP6_NETMASK", func(s string) (int, error) {
		return intIn(1, 128)(s[strings.IndexByte(s, '/')+1:])
	})
}

// readCiscoRoutes takes what the server includes. What it excludes is not
// taken: an exclusion sends traffic past the tunnel, and a server may exclude
// everything.
func readCiscoRoutes(r *reader, c *Call) {
	v4 := readIncludes(r, c, "CISCO_SPLIT_INC", func(key, i string) (netip.Prefix, bool) {
		addr, okAddr := read(r, key, parseNetwork4)
		bits, okBits := need(r, "CISCO_SPLIT_INC"+i+"_MASKLEN", key, intIn(0, 32))
		return netip.PrefixFrom(addr, bits), okAddr && okBits
	})
	v6 := readIncludes(r, c, "CISCO_IPV6_SPLIT_INC", func(key, i string) (netip.Prefix, bool) {
		addr, okAddr := read(r, key, parseNetwork6)
		bits, okBits := need(r, "CISCO_IPV6_SPLIT_INC"+i+"_MASKLEN", key, intIn(0, 128))
		return netip.PrefixFrom(addr, bits), okAddr && okBits
	})
	all4 := r.env.has("INTERNAL_IP4_ADDRESS") && !v4
	all6 := r.env.has("INTERNAL_IP6_ADDRESS") && !v6
	switch {
	case all4, all6, coverAll(c.Routes, true), coverAll(c.Routes, false):
		c.Redirect = RedirectAll
	case v4 || v6:
		c.Redirect = RedirectNone
	}
}

// readIncludes takes one family's list; it returns whether there is one. The
// count is the server's and not relied on. The numbers begin with 0.
func readIncludes(r *reader, c *Call, list string, one func(key, i string) (netip.Prefix, bool)) bool {
	for _, n := range r.env.numbersBetween(list+"_", "_ADDR") {
		i := "_" + strconv.Itoa(n)
		p, ok := one(list+i+"_ADDR", i)
		if p = p.Masked(); ok && !(p.IsSingleIP() && p.Addr() == c.Server) {
			c.Routes = put(r, c.Routes, p, maxRoutes, list+i+"_ADDR")
		}
	}
	return r.env.has(list)
}
