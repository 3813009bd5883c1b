package hook

import (
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// strongSwan's updown calls once for each pair of traffic selectors, after the
// policies are in. PLUTO_INTERFACE is the wire: a policy has no device. Who
// gives the child an XFRM interface names it himself.

func recogniseStrongSwan(in input) (Call, bool) {
	verb, ok := in.env["PLUTO_VERB"]
	if !ok || !in.env.has("PLUTO_VERSION") {
		return Call{}, false
	}
	switch strings.TrimSuffix(verb, "-v6") {
	case "up-client", "up-host":
		return Call{Event: EventUp}, true
	case "down-client", "down-host":
		// Each re-authentication, the server's order to delete and a dead
		// peer come here as well as the user's stop.
		return Call{Event: EventRestart, Cause: verb}, true
	default:
		return Call{}, true
	}
}

func readStrongSwan(r *reader, _ input, c *Call) {
	c.Server, _ = need(r, "PLUTO_PEER", "PLUTO_VERB", endpoint.ParseAddr)
	if port, ok := read(r, "PLUTO_UDP_ENC", endpoint.ParsePort); ok {
		// IKE begins on port 500 and goes on, with ESP, on this one (RFC 7296,
		// section 2.23). ESP alone is no endpoint: it has no port to tell.
		c.Standard = standard(c.Server, []endpoint.OrName{{Port: port, Proto: endpoint.UDP}, {Port: 500, Proto: endpoint.UDP}})
	}
	for _, family := range []string{"4", "6"} {
		for _, key := range r.env.numbered("PLUTO_MY_SOURCEIP" + family + "_") {
			if a, ok := read(r, key, endpoint.ParseAddr); ok {
				c.Addresses = put(r, c.Addresses, single(a), maxAddresses, key)
			}
		}
		for _, key := range r.env.numbered("PLUTO_DNS" + family + "_") {
			if a, ok := read(r, key, endpoint.ParseAddr); ok {
				c.Resolvers = put(r, c.Resolvers, a, maxResolvers, key)
			}
		}
	}
	if p, ok := read(r, "PLUTO_PEER_CLIENT", parsePrefix); ok {
		c.Routes = put(r, c.Routes, p, maxRoutes, "PLUTO_PEER_CLIENT")
		if p.Bits() == 0 {
			c.Redirect = RedirectAll
		}
		// One selector of several proves no split tunnel.
	}
}
