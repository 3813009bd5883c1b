package guard

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/sysctl"
)

func (f *fakeFilter) Masquerade(m rules.Masquerade) error {
	return f.step("masquerade", func() error { f.nat = &m; return nil })
}

func (f *fakeFilter) Unmasquerade() error {
	return f.step("unmasquerade", func() error { f.nat = nil; return nil })
}

func (k *fakeKnobs) Forward(ifaces []string) ([]sysctl.Change, []sysctl.Skipped, error) {
	return sysctl.PlanForwarding(k.fs(), ifaces)
}

func serving(dev string) Request {
	r := request(dev)
	r.Listen, r.Explicit, r.Profile = 51820, true, rules.Split
	r.Masquerade = &rules.Masquerade{Device: dev, ListenPort: 51820, Inside: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")}}
	return r
}

// Killed before or after any effect of up or stop, `recover` leaves neither the
// table nor forwarding behind.
func TestMasqueradeGoesWhereverACallIsKilled(t *testing.T) {
	ctx := context.Background()
	for _, after := range []bool{false, true} {
		for _, stopping := range []bool{false, true} {
			there := false
			for n := 1; ; n++ {
				h := newHost(t)
				up := func() error { _, err := h.Up(ctx, serving("tun0"), false); return err }
				call := up
				if stopping {
					if err := up(); err != nil {
						t.Fatal(err)
					}
					call = func() error { _, err := h.Stop(ctx, Selection{}); return err }
				}
				die := func(i int) {
					if i == n {
						panic(crash{})
					}
				}
				h.steps = 0
				if after {
					h.after = die
				} else {
					h.fault = func(i int) error { die(i); return nil }
				}
				err := (&walker{host: h}).guarded(call)
				h.fault, h.after = nil, nil
				there = there || h.filter.nat != nil
				if err == nil {
					break // past the last effect
				}
				if _, err := h.Recover(ctx); err != nil {
					t.Errorf("recover after effect %d: %v", n, err)
				}
				if h.filter.nat != nil || len(h.knobs.turned()) > 0 {
					t.Errorf("killed at effect %d (after it: %t, of stop: %t): table %v, knobs %v", n, after, stopping, h.filter.nat, h.knobs.turned())
				}
			}
			if !there {
				t.Error("the table never was there")
			}
		}
	}
}

// The last session of a server takes the table along, and a second has none.
func TestMasqueradeIsOneSessions(t *testing.T) {
	ctx := context.Background()
	h := newHost(t)
	h.mustUp("tun1")
	if _, err := h.Up(ctx, serving("tun0"), false); err != nil || h.filter.nat == nil {
		t.Fatalf("%v, table %v", err, h.filter.nat)
	}
	var refused *UsageError
	if _, err := h.Up(ctx, serving("tun2"), false); !errors.As(err, &refused) {
		t.Errorf("a second one: %v", err)
	}
	forwards := func() (n int) {
		for knob := range h.knobs.turned() {
			if strings.HasSuffix(knob, "/forwarding") {
				n++
			}
		}
		return n
	}
	if forwards() == 0 {
		t.Error("nothing is forwarded")
	}
	if _, err := h.Stop(ctx, Selection{Dev: "tun0"}); err != nil || h.filter.nat != nil || forwards() > 0 {
		t.Errorf("%v, table %v and %d knobs of forwarding are left beside another session", err, h.filter.nat, forwards())
	}
	if st, err := h.Status(); err != nil || !st.Enforced {
		t.Errorf("%v, drift %q", err, st.Drift)
	}
	h.mustStopAll()
}
