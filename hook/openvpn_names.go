package hook

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// readNames takes resolvers and domains. OpenVPN 2.6 tells pushed `dns`
// options both as dns_* and as foreign_option_N; only dns_* has the domains
// that alone are to be asked (resolve-domains).
func readNames(r *reader, c *Call) {
	for _, n := range r.env.numbers("foreign_option_") {
		readForeign(r, c, "foreign_option_"+strconv.Itoa(n))
	}
	for _, key := range r.env.keys("dns_server_", "_address_") {
		if addr, ok := read(r, key, endpoint.ParseAddr); ok {
			c.Resolvers = put(r, c.Resolvers, addr, maxResolvers, key)
		}
	}
	for _, n := range r.env.numbers("dns_search_domain_") {
		key := "dns_search_domain_" + strconv.Itoa(n)
		if name, ok := read(r, key, endpoint.ParseName); ok {
			c.SearchDomains = put(r, c.SearchDomains, name, maxDomains, key)
		}
	}
	for _, key := range r.env.keys("dns_server_", "_resolve_domain_") {
		if name, ok := read(r, key, endpoint.ParseName); ok {
			c.RouteDomains = put(r, c.RouteDomains, name, maxDomains, key)
		}
	}
}

// readForeign takes one `dhcp-option TYPE VALUE`. Types that name neither
// resolver nor domain (WINS, NTP, NBDD, NBT, NBS, DISABLE-NBT, PROXY_*) and
// types that OpenVPN 2.6 does not know change nothing.
func readForeign(r *reader, c *Call, key string) {
	option, ok := strings.CutPrefix(r.env[key], "dhcp-option ")
	if !ok {
		return
	}
	kind, value, _ := strings.Cut(option, " ")
	switch kind {
	case "DNS", "DNS6":
		parse := endpoint.ParseAddr
		if kind == "DNS6" {
			parse = parseIPv6
		}
		if addr, ok := parseForeign(r, key, value, parse); ok {
			c.Resolvers = put(r, c.Resolvers, addr, maxResolvers, key)
		}
	case "DOMAIN", "DOMAIN-SEARCH", "ADAPTER_DOMAIN_SUFFIX":
		if name, ok := parseForeign(r, key, value, endpoint.ParseName); ok {
			c.SearchDomains = put(r, c.SearchDomains, name, maxDomains, key)
		}
	}
}

func parseForeign[T netip.Addr | string](r *reader, key, value string, parse func(string) (T, error)) (T, bool) {
	v, err := parse(value)
	if err != nil {
		r.fail(key, r.env[key], err.Error())
	}
	return v, err == nil
}
