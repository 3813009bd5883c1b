package guard

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/route"
)

// fakeRouting has one plan, as it was put there, in two effects: a crash between
// them leaves the half of it.
type fakeRouting struct {
	*host
	main []route.Route
	have route.Plan
}

// wireRoutes are a main table with a default route by eth0.
func wireRoutes() []route.Route {
	return []route.Route{{Table: 254, Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.168.1.1"), Dev: 2, Type: unix.RTN_UNICAST}}
}

func (r *fakeRouting) Main() ([]route.Route, error) { return slices.Clone(r.main), nil }

func (r *fakeRouting) Have() (route.Plan, error) {
	return route.Plan{Rules: slices.Clone(r.have.Rules), Routes: slices.Clone(r.have.Routes)}, nil
}

func (r *fakeRouting) Apply(p route.Plan) error {
	if len(route.Drift(p, r.have, func(int) bool { return false })) == 0 {
		return nil
	}
	if err := r.step("route", func() error { r.have.Routes = p.Routes; return nil }); err != nil {
		return err
	}
	return r.step("steer", func() error { r.have.Rules = p.Rules; return nil })
}

func (r *fakeRouting) Remove() error {
	if r.have.Empty() {
		return nil
	}
	if err := r.step("unsteer", func() error { r.have.Rules = nil; return nil }); err != nil {
		return err
	}
	return r.step("unroute", func() error { r.have.Routes = nil; return nil })
}
