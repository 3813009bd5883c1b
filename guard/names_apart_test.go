package guard

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/rules"
)

const resolvedUID = 990

// lanQuestion is asked of the LAN's resolver by who tells names apart.
var lanQuestion = func() rules.Packet {
	p := inClear
	p.Proto, p.UID = rules.ProtoUDP, resolvedUID
	p.Dst, p.DstPort = netip.MustParseAddr(hostsOwn), 53
	return p
}()

// newApartHost has a guardian and somebody who tells names apart.
func newApartHost(t *testing.T) (*host, *fakeNames) {
	h, n := newNamesHost(t)
	uid := uint32(resolvedUID)
	h.Watching, n.owner, n.asker = true, dns.Resolved, &uid
	return h, n
}

func claiming(r Request, domains ...string) Request {
	r.Domains = domains
	return r
}

// asksElsewhere reports whether others may be asked, and whether the record and
// the resolvers' owner agree that they may.
func (h *host) asksElsewhere() bool {
	h.t.Helper()
	rec, _, err := h.load()
	if err != nil {
		h.t.Fatal(err)
	}
	n, _, err := h.loadNames()
	if err != nil {
		h.t.Fatal(err)
	}
	asks := h.filter.have.Eval(lanQuestion).Verdict.Passes()
	for _, l := range n.Saved.Links {
		if asks && l.All {
			h.t.Errorf("others may be asked, and %s is for every name", l.Dev)
		}
	}
	if asks != (rec.Asker != nil) && rec.policy().Profile == rules.Split && len(rec.Sessions) > 0 {
		h.t.Errorf("rules let others be asked: %t, recorded: %v", asks, rec.Asker)
	}
	return asks
}

func TestOthersAreAskedOnlyWhereNamesAreToldApart(t *testing.T) {
	split := claiming(withServers("tun0", rules.Split, "10.8.0.1"), "corp.example")
	with := func(r Request, change func(*Request)) Request { change(&r); return r }
	for _, c := range []struct {
		name   string
		change func(*host, *fakeNames)
		last   Request
		want   bool
	}{
		{"a split session with a domain", nil, split, true},
		{"a domain that is asked and not searched", nil, with(split, func(r *Request) { r.Domains, r.RouteDomains = nil, r.Domains }), true},
		{"another one without resolvers", func(h *host, _ *fakeNames) { h.up(withServers("tun1", rules.Split)) }, split, true},
		{"another one with a domain", func(h *host, _ *fakeNames) { h.up(claiming(withServers("tun1", rules.Split, "10.9.0.1"), "b.example")) }, split, true},
		{"no domain", nil, with(split, func(r *Request) { r.Domains = nil }), false},
		{"another one without a domain", func(h *host, _ *fakeNames) { h.up(withServers("tun1", rules.Split, "10.9.0.1")) }, split, false},
		{"another one that is full", func(h *host, _ *fakeNames) { h.up(withServers("tun1", rules.Full)) }, split, false},
		{"a full one", nil, with(split, func(r *Request) { r.Profile = rules.Full }), false},
		{"names left alone", nil, with(split, func(r *Request) { r.Naming = NamingOff }), false},
		{"names that the client sets", nil, with(split, func(r *Request) { r.Naming = NamingClient }), false},
		{"no guardian", func(h *host, _ *fakeNames) { h.Watching = false }, split, false},
		{"an owner that cannot tell", func(_ *host, n *fakeNames) { n.asker = nil }, split, false},
		{"names that cannot be set", func(_ *host, n *fakeNames) { n.fail = dns.ErrNoOwner }, split, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, n := newApartHost(t)
			if c.change != nil {
				c.change(h, n)
			}
			h.up(c.last)
			if got := h.asksElsewhere(); got != c.want {
				t.Errorf("others may be asked: %t, want %t", got, c.want)
			}
			other := lanQuestion
			other.UID = 1000
			if h.filter.have.Eval(other).Verdict.Passes() {
				t.Error("anybody may ask the LAN's resolver")
			}
			n.fail = nil
			h.mustStopAll()
			if n.have != hostsOwn {
				t.Errorf("given back: %q", n.have)
			}
		})
	}
}

// What ends the telling apart ends the permission before the names change.
func TestThePermissionToAskOthersEndsWithItsReasons(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name string
		end  func(*host, *fakeNames) error
		back func(*host) error
	}{
		{"its device is gone", func(h *host, _ *fakeNames) error {
			h.links.list = slices.DeleteFunc(h.links.list, func(l link.Link) bool { return l.Name == "tun0" })
			_, err := h.Heal(ctx, false)
			return err
		}, nil},
		{"the guardian leaves", func(h *host, _ *fakeNames) error { return h.Leave(ctx) }, func(h *host) error {
			h.Watching = true
			_, err := h.Heal(ctx, true)
			return err
		}},
		{"somebody fights for the names", func(h *host, n *fakeNames) error {
			for range maxAgain + 1 {
				n.have = "foreign"
				if _, err := h.Heal(ctx, false); err != nil {
					return err
				}
			}
			return nil
		}, nil},
		{"a lock", func(h *host, _ *fakeNames) error {
			_, err := h.Lock(ctx, LockRequest{UIDs: []uint32{0}}, false)
			return err
		},
			func(h *host) error { _, err := h.Unlock(ctx); return err }},
		{"a full session", func(h *host, _ *fakeNames) error { h.up(withServers("tun1", rules.Full)); return nil },
			func(h *host) error { _, err := h.Stop(ctx, Selection{Dev: "tun1"}); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, n := newApartHost(t)
			h.up(claiming(withServers("tun0", rules.Split, "10.8.0.1"), "corp.example"))
			if !h.asksElsewhere() {
				t.Fatal("others may not be asked to begin with")
			}
			if err := c.end(h, n); err != nil {
				t.Fatal(err)
			}
			if h.asksElsewhere() {
				t.Error("others may still be asked")
			}
			if c.back == nil {
				return
			}
			if err := c.back(h); err != nil {
				t.Fatal(err)
			}
			if !h.asksElsewhere() {
				t.Error("others may not be asked again")
			}
		})
	}
}
