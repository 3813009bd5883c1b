package guard

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// A tunnel that says how far it is changes what is recorded and nothing that is
// enforced, but for its steering.
func TestTunnelTellsHowFarItIs(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	dev := &h.links.list[2]
	dev.Up = false
	r := request("tun0")
	r.Connecting, r.Settings.Table = true, 1000
	if res, err := h.Up(ctx, r, false); err != nil || res.State != Connecting {
		t.Fatalf("up: %s, %v", res.State, err)
	}
	rules := h.filter.have.Replacement()
	led := func() bool {
		for _, r := range h.routing.have.Routes {
			if r.Dev == dev.Index {
				return true
			}
		}
		return false
	}
	if !h.routing.have.Empty() {
		t.Errorf("steered before the device is up: %v", h.routing.have)
	}
	dev.Up = true
	if res, err := h.Resteer(ctx, "tun0"); err != nil || res.State != Connecting || !led() {
		t.Errorf("resteer: %s, %v: %v", res.State, err, h.routing.have)
	}
	// The kernel forgets routes of a device that goes down; the record does not.
	h.routing.have.Routes = nil
	if _, err := h.Resteer(ctx, "tun0"); err != nil || !led() {
		t.Errorf("resteer after the kernel forgot: %v: %v", err, h.routing.have)
	}
	for _, works := range []bool{true, false, true} {
		want := Connecting
		if works {
			want = Sealed
		}
		res, err := h.Connected(ctx, "tun0", works)
		if st, e := h.Status(); err != nil || e != nil || res.State != want || st.State != want || len(st.Drift) > 0 {
			t.Errorf("works %t: %s, status %s %q, %v, %v", works, res.State, st.State, st.Drift, err, e)
		}
	}
	if rules != h.filter.have.Replacement() {
		t.Error("the rules changed")
	}
	var request *UsageError
	if _, err := h.Connected(ctx, "tun1", true); !errors.As(err, &request) || !strings.Contains(err.Error(), `no session "tun1"`) {
		t.Errorf("a session that is not: %v", err)
	}
	h.mustStopAll()
}
