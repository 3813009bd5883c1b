package guard

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/sysctl"
)

func (h *host) lockFor(t *testing.T, names ...string) {
	t.Helper()
	var list []endpoint.OrName
	for _, n := range names {
		x, err := endpoint.ParseOrName(n)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, x)
	}
	if _, err := h.Lock(context.Background(), LockRequest{Names: list, ResolveTimeout: time.Second, UIDs: []uint32{0}}, false); err != nil {
		t.Fatal(err)
	}
}

func (h *host) heal(t *testing.T, force bool) Healed {
	t.Helper()
	healed, err := h.Heal(context.Background(), force)
	if err != nil {
		t.Fatal(err)
	}
	return healed
}

func TestHealPutsBackWhatDiffersAndNothingElse(t *testing.T) {
	h := newHost(t)
	if healed := h.heal(t, false); healed.State != Open || healed.Done || h.steps > 0 {
		t.Errorf("an open host was healed: %+v", healed)
	}
	h.lockFor(t, "203.0.113.10:1194/udp")
	want := h.filter.have.Text()
	h.steps = 0
	if healed := h.heal(t, false); healed.Done || len(healed.Drift) > 0 || h.steps > 0 {
		t.Errorf("a host that is as recorded was healed: %+v, %d effects", healed, h.steps)
	}
	for name, meddle := range map[string]struct {
		do   func()
		says string
	}{
		"rules gone":  {func() { h.filter.have = rules.Ruleset{} }, "table inet vpnguard is missing"},
		"a rule gone": {func() { c := &h.filter.have.Tables[0].Chains[3]; c.Rules = c.Rules[:len(c.Rules)-1] }, `rule "out-end" is missing`},
		"a knob": {func() {
			for _, c := range mustRecord(h).Knobs[:1] {
				if err := h.knobs.fs().Restore([]sysctl.Change{c}); err != nil {
					t.Fatal(err)
				}
			}
		}, "net/ipv4/conf"},
	} {
		meddle.do()
		healed := h.heal(t, false)
		if !healed.Done || !strings.Contains(strings.Join(healed.Drift, "; "), meddle.says) {
			t.Errorf("%s: %+v", name, healed)
		}
		if h.filter.have.Text() != want {
			t.Errorf("%s: the rules are not what they were", name)
		}
		if st, err := h.Status(); err != nil || !st.Enforced {
			t.Errorf("%s: not enforced: %v %v", name, st.Drift, err)
		}
	}
}

func TestHealGivesNewAndRenamedInterfacesTheirFence(t *testing.T) {
	h := newHost(t)
	h.lockFor(t)
	h.knobs.make("wlan0", "wlan1")
	h.links.list = append(h.links.list, link.Link{Name: "wlan0", Index: 30, Kind: "device", Up: true, Ethernet: true})
	if healed := h.heal(t, false); !healed.Done || !slices.Contains(healed.Drift, "interface wlan0 is new") {
		t.Errorf("%+v", healed)
	}
	fenced := func(dev string) bool {
		t, _ := h.filter.have.Table(rules.Netdev)
		return slices.ContainsFunc(t.Chains, func(c rules.Chain) bool { return c.Device == dev })
	}
	if !fenced("wlan0") {
		t.Error("the new interface has no fence")
	}
	h.links.list[len(h.links.list)-1].Name = "wlan1"
	if healed := h.heal(t, false); !healed.Done || !slices.Contains(healed.Drift, "interface wlan1 was wlan0") || !fenced("wlan1") || fenced("wlan0") {
		t.Errorf("%+v", healed)
	}
	h.links.list = h.links.list[:len(h.links.list)-1]
	if healed := h.heal(t, false); !healed.Done || fenced("wlan1") {
		t.Errorf("the fence of an interface that is gone stays: %+v", healed)
	}
}

// movingResolver gives a name another address each time.
type movingResolver struct{ n byte }

func (r *movingResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	r.n++
	return []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, r.n})}, nil
}

func TestNamesOfTheLockAreAskedAgainWhileATunnelIsUp(t *testing.T) {
	h := newHost(t)
	h.Resolver = &movingResolver{}
	h.lockFor(t, "vpn.example:1194/udp")
	ask := func() []endpoint.Endpoint {
		t.Helper()
		added, err := h.RefreshNames(context.Background(), time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return added
	}
	if added := ask(); len(added) > 0 {
		t.Errorf("asked in clear: %v", added)
	}
	h.clients.alive[7] = 7
	end, _ := endpoint.Parse("203.0.113.1:1194/udp")
	if _, err := h.Up(context.Background(), Request{Client: "openvpn", Dev: "tun0", PID: 7, Endpoints: []endpoint.Endpoint{end}}, false); err != nil {
		t.Fatal(err)
	}
	if added := ask(); len(added) != 1 || added[0].String() != "203.0.113.2:1194/udp" {
		t.Errorf("added %v", added)
	}
	rec := mustRecord(h)
	if got := rec.Lock.Endpoints; len(got) != 2 || got[0].String() != "203.0.113.1:1194/udp" {
		t.Errorf("the lock has %v: an earlier address was lost", got)
	}
	for range 100 {
		ask()
	}
	if n := len(mustRecord(h).Lock.Endpoints); n > maxAddresses+1 {
		t.Errorf("a name leads to %d addresses", n)
	}
	var l Lock
	if _, err := h.Kept.Load(&l); err != nil || len(l.Endpoints) != len(mustRecord(h).Lock.Endpoints) {
		t.Errorf("kept over boots: %v, %v", l.Endpoints, err)
	}
}

func mustRecord(h *host) Record {
	rec, found := h.journal.record()
	if !found {
		h.t.Fatal("no record")
	}
	return rec
}

func TestAnInterfaceThatVanishesMeanwhileMakesANewPlan(t *testing.T) {
	for name, do := range map[string]func(*host) error{
		"lock": func(h *host) error {
			_, err := h.Lock(context.Background(), LockRequest{UIDs: []uint32{0}}, false)
			return err
		},
		"up": func(h *host) error {
			h.clients.alive[7] = 7
			end, _ := endpoint.Parse("203.0.113.1:1194/udp")
			_, err := h.Up(context.Background(), Request{Client: "openvpn", Dev: "tun0", PID: 7, Endpoints: []endpoint.Endpoint{end}}, false)
			return err
		},
	} {
		h := newHost(t)
		vanished := false
		h.fault = func(n int) error {
			if n == 2 { // the first effect records, the second is the kernel's
				vanished = true
				return fmt.Errorf("chain %q: %w", "fence_2", unix.ENOENT)
			}
			return nil
		}
		if err := do(h); err != nil || !vanished {
			t.Errorf("%s: %v, vanished %t", name, err, vanished)
		}
		if st, err := h.Status(); err != nil || !st.Enforced || len(h.filter.have.Tables) == 0 {
			t.Errorf("%s: not enforced: %v, %v", name, st.Drift, err)
		}
		h = newHost(t)
		h.fault = func(n int) error {
			if n%2 == 0 {
				return unix.ENOENT
			}
			return nil
		}
		if err := do(h); !errors.Is(err, unix.ENOENT) || len(h.filter.have.Tables) > 0 {
			t.Errorf("%s: an interface that is never there: %v", name, err)
		}
	}
}
