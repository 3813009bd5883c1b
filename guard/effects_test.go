package guard

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

func request(dev string) Request {
	end := endpoint.Endpoint{Addr: netip.MustParseAddrPort("203.0.113.10:1194"), Proto: endpoint.UDP}
	return Request{Client: "manual", Dev: dev, Endpoints: []endpoint.Endpoint{end}, UIDs: []uint32{0}, Settings: steering}
}

// at fails the n-th effect.
func at(n int, err error) func(int) error {
	return func(i int) error {
		if i == n {
			return err
		}
		return nil
	}
}

func (h *host) mustUp(dev string) {
	h.t.Helper()
	h.steps, h.fault = 0, nil
	if res, err := h.Up(context.Background(), request(dev), false); err != nil || res.State != Sealed {
		h.t.Fatalf("up %s: %s, %v", dev, res.State, err)
	}
}

func (h *host) mustStopAll() {
	h.t.Helper()
	h.steps, h.fault = 0, nil
	if _, err := h.Stop(context.Background(), Selection{All: true}); err != nil {
		h.t.Fatal(err)
	}
	if turned := h.knobs.turned(); len(turned) > 0 || len(h.filter.have.Tables) > 0 || !h.routing.have.Empty() || h.journal.data != nil {
		h.t.Fatalf("not as it was: %v, %d tables, %q, %s", turned, len(h.filter.have.Tables), h.routing.have.Lines(), h.journal.data)
	}
}

// The effects of a first up: 1 the record, 2 the rules, then the knobs, then
// the record again.
func TestUpWhoseRulesAreRefusedLeavesNothing(t *testing.T) {
	h := newHost(t)
	h.fault = at(2, unix.ENOBUFS)
	_, err := h.Up(context.Background(), request("tun0"), false)
	var state *StateError
	if !errors.As(err, &state) || state.State != "the host is as it was before: open" {
		t.Errorf("up: %v", err)
	}
	if len(h.filter.have.Tables) > 0 || len(h.knobs.turned()) > 0 || h.journal.data != nil {
		t.Errorf("something is left: %v, %s", h.filter.have, h.journal.data)
	}
}

// A netlink error does not mean that the kernel did nothing.
func TestUpWhoseRulesWentInAlthoughItFailedStaysClosed(t *testing.T) {
	h := newHost(t)
	h.Filter = &committing{&h.filter}
	_, err := h.Up(context.Background(), request("tun0"), false)
	if err == nil || !strings.Contains(err.Error(), "neither the old nor the new ones") {
		t.Errorf("up: %v", err)
	}
	if h.filter.have.Eval(inClear).Verdict.Passes() {
		t.Error("the host is open")
	}
	if rec, found := h.journal.record(); !found || rec.Phase != Applying {
		t.Errorf("record %v in phase %s", found, rec.Phase)
	}
	if st, err := h.Status(); err != nil || st.State != Blocked || st.Enforced {
		t.Errorf("status: %v, %v", st, err)
	}
	h.Filter = &h.filter
	h.mustStopAll()
}

// committing commits and fails.
type committing struct{ *fakeFilter }

func (f *committing) Replace(rs rules.Ruleset) (l nft.Listing, err error) {
	if l, err = f.fakeFilter.Replace(rs); err == nil {
		err = unix.ENOBUFS
	}
	return l, err
}

// unreadable also lists no more.
type unreadable struct{ committing }

func (f *unreadable) List() (nft.Listing, error) { return nft.Listing{}, unix.EINTR }

func TestUpThatCannotReadBackKeepsTheRecordOfTheChange(t *testing.T) {
	h := newHost(t)
	h.Filter = &unreadable{committing{&h.filter}}
	_, err := h.Up(context.Background(), request("tun0"), false)
	if err == nil || !strings.Contains(err.Error(), "the host has the old rules or the new ones") {
		t.Errorf("up: %v", err)
	}
	if rec, found := h.journal.record(); !found || rec.Phase != Applying {
		t.Errorf("record %v in phase %s: what went in is forgotten", found, rec.Phase)
	}
	h.Filter = &h.filter
	h.mustStopAll()
}

func TestKnobsThatAreRefusedAreNotRecordedAsTurned(t *testing.T) {
	h := newHost(t)
	h.fault = func(n int) error {
		if n > 2 && h.journal.data != nil && len(h.filter.have.Tables) > 0 && h.steps < 6 {
			return os.ErrPermission
		}
		return nil
	}
	res, err := h.Up(context.Background(), request("tun0"), false)
	if err != nil || res.State != Sealed || len(res.Warnings) != 3 {
		t.Fatalf("up: %s, %v, %q", res.State, err, res.Warnings)
	}
	h.fault = nil
	st, err := h.Status()
	if err != nil || !st.Enforced || len(st.Notes) < 3 {
		t.Errorf("status: %+v, %v", st, err)
	}
	h.mustStopAll()
}

func TestUpWhoseLastRecordFailsIsClosedAndSaysSo(t *testing.T) {
	h := newHost(t)
	saves := 0
	h.check = func(effect string) {
		if effect == "save" {
			saves++
		}
	}
	h.fault = func(int) error {
		if saves == 1 && len(h.knobs.off) > 10 {
			return unix.ENOSPC // from late in the knobs on
		}
		return nil
	}
	_, err := h.Up(context.Background(), request("tun0"), false)
	if err == nil || !strings.Contains(err.Error(), "the host is closed") || h.filter.have.Eval(inClear).Verdict.Passes() {
		t.Errorf("up: %v", err)
	}
	if st, err := h.Status(); err != nil || st.State != Blocked {
		t.Errorf("status: %v, %v", st.State, err)
	}
	h.mustStopAll()
}

// While tun0 is sealed, tun1 is a wire, with knobs of a wire. Killed among
// these, the call leaves some recorded that were never turned; when tun1 is
// sealed itself they are needed no more, and must not block it.
func TestAnotherTunnelSealsAfterACallThatWasKilledAmongItsKnobs(t *testing.T) {
	h := newHost(t)
	for n := 1; n < 80; n++ {
		h.steps, h.fault = 0, func(i int) error {
			if i == n {
				panic(crash{})
			}
			return nil
		}
		w := &walker{host: h}
		err := w.guarded(func() error { _, err := h.Up(context.Background(), request("tun0"), false); return err })
		if err == nil {
			return // past the last effect
		}
		h.mustUp("tun1")
		if st, err := h.Status(); err != nil || !st.Enforced || st.State != Sealed {
			t.Errorf("killed before effect %d, then tun1 sealed: %s %q, %v", n, st.State, st.Drift, err)
		}
		h.mustStopAll()
	}
	t.Error("no call came to its end")
}

func TestStopWithoutARecordLooksBeforeItSaysThatTheHostIsOpen(t *testing.T) {
	h := newHost(t)
	if res, err := h.Stop(context.Background(), Selection{}); err != nil || res.State != Open {
		t.Errorf("nothing there: %s, %v", res.State, err)
	}
	if res, err := h.Restart(context.Background(), Selection{}); err != nil || res.State != Open {
		t.Errorf("restart of nothing: %s, %v", res.State, err)
	}
	h.mustUp("tun0")
	h.journal.data = nil
	if res, err := h.Stop(context.Background(), Selection{}); err == nil || res.State == Open {
		t.Errorf("rules without a record: %s, %v", res.State, err)
	}
}

func TestDeviceThatMayBeTheWireIsRefused(t *testing.T) {
	h := newHost(t)
	dead := endpoint.Endpoint{Addr: netip.MustParseAddrPort("[2001:db8:dead::1]:1194"), Proto: endpoint.UDP}
	name := endpoint.OrName{Host: "vpn.example", Port: 1194, Proto: endpoint.UDP}
	for _, c := range []struct {
		name, dev, kind string
		change          func(*Request)
		says            string // empty: taken
	}{
		{"tun", "tun0", "tun", nil, ""},
		{"wire", "eth0", "veth", nil, "it is the wire"},
		{"wire, marked", "eth0", "veth", func(r *Request) { r.Mark, r.Mask = 1, ^uint32(0) }, "it is the wire"},
		{"wire, the server by name", "eth0", "veth", func(r *Request) { r.Endpoints, r.Names = nil, []endpoint.OrName{name} }, "it is the wire"},
		{"wire, no route", "eth0", "veth", func(r *Request) { r.Endpoints = []endpoint.Endpoint{dead} }, "may be the wire"},
		{"network card, no route", "eth0", "device", func(r *Request) { r.Endpoints = []endpoint.Endpoint{dead} }, "may be the wire"},
		{"unknown kind, carrier by the wire", "tun3", "netkit", nil, ""},
		{"unknown kind, marked carrier by itself", "tun3", "netkit", func(r *Request) { r.Mark, r.Mask = 7, ^uint32(0) }, "it is the wire"},
		{"loopback", "lo", "device", nil, "loopback"},
		{"guest", "tun0", "tun", func(r *Request) { r.Settings.Guests = []string{"tun0"} }, "guest"},
		{"kernel tunnel without a mark", "tun0", "wireguard", nil, "tunnel of the kernel"},
		{"none", "nosuch", "", nil, "unknown device"},
	} {
		for i := range h.links.list {
			if h.links.list[i].Name == c.dev {
				h.links.list[i].Kind = c.kind
			}
		}
		r := request(c.dev)
		r.ResolveTimeout = lockTimeout
		if c.change != nil {
			c.change(&r)
		}
		_, err := h.Up(context.Background(), r, false)
		var wrong *UsageError
		if c.says == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			h.mustStopAll()
		} else if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.says) || h.journal.data != nil {
			t.Errorf("%s: %v, want a usage error with %q", c.name, err, c.says)
		}
	}
}
