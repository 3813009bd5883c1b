package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/hook"
)

// namingClients set the resolvers that they tell themselves, after the hook or
// before: vpnc-script, wg-quick's DNS line, NetworkManager, and the scripts that
// distributions give pppd. To set them as well would be to fight over one file.
// OpenVPN sets none if it has an `up` of ours, and strongSwan hands its servers
// to updown for that purpose.
var namingClients = []string{"openconnect", "vpnc", "wg-quick", "networkmanager", "pppd", "ifupdown", "networkd-dispatcher"}

// names adds the domains that the user gave, and who is to set the resolvers.
// A domain written ~NAME is asked of the session's resolvers, not searched.
func names(r *guard.Request, call hook.Call, conf config.Config, domains []string, told bool) error {
	r.RouteDomains = call.RouteDomains
	for _, d := range domains {
		plain, route := strings.CutPrefix(d, "~")
		name, err := endpoint.ParseName(plain)
		if err != nil {
			return &usageError{fmt.Errorf("domain %q: %w", d, err), ""}
		}
		if route {
			r.RouteDomains = append(r.RouteDomains, name)
		} else {
			r.Domains = append(r.Domains, name)
		}
	}
	switch conf.Naming {
	case config.NamingAuto:
		// What the user gives, no client sets.
		if told && len(call.Resolvers) > 0 && slices.Contains(namingClients, call.Client) {
			r.Naming = guard.NamingClient
		}
	case config.NamingOff:
		r.Naming = guard.NamingOff
	case config.NamingResolved, config.NamingNetworkManager, config.NamingResolvconf, config.NamingFile:
		r.Naming = guard.Naming(conf.Naming.String())
	}
	return nil
}

// ourNaming takes resolvers over from a client whose scripts tell them nobody:
// pppd's write to a file and know resolvconf, and say nothing to systemd-resolved.
func ourNaming(n guard.Naming, client string, detect func(dns.Owner) (dns.Owner, error)) guard.Naming {
	if n != guard.NamingClient || client != "pppd" {
		return n
	}
	if owner, err := detect(""); err != nil || owner != dns.Resolved {
		return n
	}
	return guard.NamingAuto
}

// namesText says who was told of a session's resolvers.
func namesText(st guard.NamesStatus, n guard.Naming) string {
	switch {
	case n == guard.NamingOff:
		return `not set (dns = "off")`
	case n == guard.NamingClient:
		return "set by the client"
	case st.Owner == "":
		return "NOT set"
	}
	return "set in " + st.Owner.String()
}
