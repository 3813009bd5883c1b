package guard

import (
	"net/netip"

	"github.com/vpnguard/vpnguard/route"
	"github.com/vpnguard/vpnguard/rules"
)

// View is what the guardian needs to judge a route.
type View struct {
	Enforced bool               // whether anything is
	Named    map[int]rules.Wire // the wires by index
	route.Judge
}

// View reads the record. One that cannot be read is nothing to judge by.
func (g *Guard) View() View {
	rec, found, err := g.load()
	if err != nil || !found || rec.idle() {
		return View{}
	}
	v := View{Enforced: true, Named: map[int]rules.Wire{}, Judge: rec.judge()}
	for _, w := range rec.Wires {
		v.Named[w.Index] = w
	}
	return v
}

// judge knows the record's wires and servers.
func (r Record) judge() route.Judge {
	j := route.Judge{Wires: map[int][]netip.Prefix{}}
	for _, w := range r.Wires {
		j.Wires[w.Index] = w.OnLink
	}
	for _, c := range r.policy().Carriers {
		for _, e := range c.Endpoints {
			j.Servers = append(j.Servers, e.Addr.Addr())
		}
	}
	return j
}

// HasKept reports whether a lock was kept over a boot, readable or not.
func (g *Guard) HasKept() bool {
	_, found, err := g.kept()
	return found || err != nil
}
