package guard

import (
	"net/netip"

	"github.com/vpnguard/vpnguard/rules"
)

// View is what the guardian needs to judge a route.
type View struct {
	Enforced bool               // whether anything is
	Wires    map[int]rules.Wire // by index
	Servers  []netip.Addr
}

// View reads the record. One that cannot be read is nothing to judge by.
func (g *Guard) View() View {
	rec, found, err := g.load()
	if err != nil || !found || rec.idle() {
		return View{}
	}
	v := View{Enforced: true, Wires: map[int]rules.Wire{}}
	for _, w := range rec.Wires {
		v.Wires[w.Index] = w
	}
	for _, c := range rec.policy().Carriers {
		for _, e := range c.Endpoints {
			v.Servers = append(v.Servers, e.Addr.Addr())
		}
	}
	return v
}

// HasKept reports whether a lock was kept over a boot, readable or not.
func (g *Guard) HasKept() bool {
	_, found, err := g.kept()
	return found || err != nil
}
