package guard

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
)

// maxAddresses of one name count: whoever answers for the LAN's resolver must
// not choose how many holes there are.
const maxAddresses = 32

// resolve looks the names of endpoints up, all addresses of both families. A
// name that cannot be resolved is a warning: the client reached its server,
// and that address is known. All lookups together end within limit: the client
// stands still meanwhile, and the host is open.
func (g *Guard) resolve(ctx context.Context, limit time.Duration, names []endpoint.OrName) (ends []endpoint.Endpoint, warnings []string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	seen := map[string][]netip.Addr{}
	for _, n := range names {
		if e, ok := n.Endpoint(); ok {
			ends = append(ends, e)
			continue
		}
		addrs, ok := seen[n.Host]
		if !ok {
			var err error
			addrs, err = g.Resolver.LookupNetIP(ctx, "ip", n.Host)
			seen[n.Host] = addrs
			if err != nil {
				warnings = append(warnings, fmt.Sprintf("endpoint %s: %v: behind the seal the client can reach only the addresses known now", n, err))
			}
		}
		if len(addrs) > maxAddresses {
			warnings = append(warnings, fmt.Sprintf("endpoint %s: its name has %d addresses; only the first %d count", n, len(addrs), maxAddresses))
			addrs = addrs[:maxAddresses]
		}
		for _, a := range addrs {
			e := endpoint.Endpoint{Addr: netip.AddrPortFrom(a.Unmap(), n.Port), Proto: n.Proto}
			if e.IsValid() {
				ends = append(ends, e)
			}
		}
	}
	return ends, warnings
}
