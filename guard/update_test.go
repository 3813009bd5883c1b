package guard

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/route"
)

// Whoever adds endpoints widens the seal each time; whoever moves a session does
// not, however often.
func TestMoveTakesThePlaceOfWhatWasSealed(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	r := request("tun0")
	r.PID, r.Settings = 100, steering
	h.clients.alive[100] = 100
	if _, err := h.Up(ctx, r, false); err != nil {
		t.Fatal(err)
	}
	at := func(n int) endpoint.Endpoint {
		return endpoint.Endpoint{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}), 1194), Proto: endpoint.UDP}
	}
	passes := func(e endpoint.Endpoint) bool {
		p := inClear
		p.Dst, p.DstPort, p.UID = e.Addr.Addr(), e.Addr.Port(), 0
		return h.filter.have.Eval(p).Verdict.Passes()
	}
	steered := func(e endpoint.Endpoint) bool {
		return slices.ContainsFunc(h.routing.have.Rules, func(r route.Rule) bool { return r.To.IsValid() && r.To.Addr() == e.Addr.Addr() })
	}
	for n := 50; n < 60; n++ {
		if _, err := h.Update(ctx, 100, []endpoint.Endpoint{at(n)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !passes(at(50)) || !passes(at(59)) || !steered(at(50)) {
		t.Fatal("the control: added endpoints do not pass")
	}
	for n := 60; n < 70; n++ {
		res, err := h.Move(ctx, 100, []endpoint.Endpoint{at(n), at(n + 1)}, nil)
		if err != nil || len(res.Session.Endpoints) != 2 {
			t.Fatalf("move: %v, %v", res.Session.Endpoints, err)
		}
	}
	for n := 50; n < 72; n++ {
		if want := n == 69 || n == 70; passes(at(n)) != want || steered(at(n)) != want {
			t.Errorf("%v passes %t, is steered %t; want %t", at(n), passes(at(n)), steered(at(n)), want)
		}
	}
	if st, err := h.Status(); err != nil || len(st.Drift) > 0 {
		t.Errorf("status: %q, %v", st.Drift, err)
	}
	var state *StateError
	if _, err := h.Move(ctx, 100, nil, nil); !errors.As(err, &state) || !passes(at(70)) {
		t.Errorf("a move to nowhere: %v", err)
	}
	if _, err := h.Move(ctx, 100, []endpoint.Endpoint{at(80)}, func(Session) bool { return false }); err == nil || passes(at(80)) {
		t.Errorf("a move that somebody else asks for: %v", err)
	}
}
