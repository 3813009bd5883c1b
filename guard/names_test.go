package guard

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/rules"
)

// fakeNames is a host with one resolver configuration, which somebody else may
// change as well. Like a file it can be found only as it was left.
type fakeNames struct {
	*host
	owner dns.Owner
	have  string // what is set
	fail  error  // of the next Apply
	asker *uint32
}

const hostsOwn = "192.168.1.1"

func (n *fakeNames) Detect(want dns.Owner) (dns.Owner, error) {
	if want != "" && want != n.owner {
		return "", dns.ErrNoOwner
	}
	return n.owner, nil
}

func serversOf(links []dns.Link) string {
	var all []string
	for _, l := range links {
		for _, a := range l.Servers {
			all = append(all, a.String())
		}
	}
	return strings.Join(all, " ")
}

// Prepare keeps in Record what was there before.
func (n *fakeNames) Prepare(owner dns.Owner, old *dns.Saved, w dns.Wish) (dns.Saved, error) {
	before := []byte(n.have)
	if old != nil && n.have != hostsOwn && n.have != "foreign" {
		before = old.Record
	}
	return dns.Saved{Owner: owner, Links: w.Links, Record: before}, nil
}

func (n *fakeNames) Apply(s dns.Saved) (dns.Saved, error) {
	if n.fail != nil {
		return s, n.fail
	}
	s.Asker = n.asker
	return s, n.step("set names", func() error { n.have = serversOf(s.Links); return nil })
}

func (n *fakeNames) Verify(s dns.Saved) []string {
	if n.have != serversOf(s.Links) {
		return []string{"names were changed"}
	}
	return nil
}

func (n *fakeNames) Restore(s dns.Saved) ([]string, error) {
	return nil, n.step("give names back", func() error {
		if n.have != "foreign" {
			n.have = string(s.Record)
		}
		return nil
	})
}

func newNamesHost(t *testing.T) (*host, *fakeNames) {
	h := newHost(t)
	n := &fakeNames{host: h, owner: dns.File, have: hostsOwn}
	h.Names, h.NamesJournal = n, &fakeJournal{host: h}
	return h, n
}

func withServers(dev string, profile rules.Profile, servers ...string) Request {
	r := request(dev)
	r.Explicit, r.Profile = true, profile
	for _, s := range servers {
		r.DNS = append(r.DNS, netip.MustParseAddr(s))
	}
	return r
}

func (h *host) up(r Request) []string {
	h.t.Helper()
	res, err := h.Up(context.Background(), r, false)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.Warnings
}

func TestSessionsResolversAreSetInTheirOrderAndGivenBack(t *testing.T) {
	h, n := newNamesHost(t)
	h.up(withServers("tun0", rules.Split, "10.8.0.1"))
	for _, c := range []struct {
		request Request
		want    string
	}{
		{withServers("tun1", rules.Full, "10.8.1.1"), "10.8.1.1 10.8.0.1"},
		{withServers("tun2", rules.Full, "10.8.2.1"), "10.8.2.1 10.8.1.1 10.8.0.1"},
		{withServers("tun3", rules.Full), "10.8.2.1 10.8.1.1 10.8.0.1"},
		{func() Request { r := withServers("tun3", rules.Full, "10.8.3.1"); r.Naming = NamingOff; return r }(), "10.8.2.1 10.8.1.1 10.8.0.1"},
		{func() Request { r := withServers("tun3", rules.Full, "10.8.3.1"); r.Naming = NamingClient; return r }(), "10.8.2.1 10.8.1.1 10.8.0.1"},
	} {
		h.up(c.request)
		if n.have != c.want {
			t.Errorf("after %s: %q, want %q", c.request.Dev, n.have, c.want)
		}
	}
	for _, c := range []struct{ dev, want string }{{"tun3", "10.8.2.1 10.8.1.1 10.8.0.1"}, {"tun2", "10.8.1.1 10.8.0.1"}, {"tun0", "10.8.1.1"}, {"tun1", hostsOwn}} {
		if _, err := h.Stop(context.Background(), Selection{Dev: c.dev}); err != nil || n.have != c.want {
			t.Errorf("after the end of %s: %q, want %q; %v", c.dev, n.have, c.want, err)
		}
	}
}

func sealed(s Session, since int64) Session {
	s.Since = time.Unix(since, 0)
	return s
}

// One claims every name that no other does; without a full one it is a split one.
func TestOneSessionIsForTheNamesThatNobodyClaims(t *testing.T) {
	s := func(dev string, p rules.Profile) Session {
		return Session{Dev: dev, Profile: p, DNS: []netip.Addr{netip.MustParseAddr("10.8.0.1")}}
	}
	for _, c := range []struct {
		sessions []Session
		want     []string // devices in order, the first is for all
	}{
		{[]Session{s("tun0", rules.Full), s("tun1", rules.Split), s("tun2", rules.Full)}, []string{"tun2", "tun0", "tun1"}},
		{[]Session{s("tun0", rules.Split), s("tun1", rules.Split)}, []string{"tun1", "tun0"}},
		// The one that was sealed last, also anew, is the one that other traffic uses.
		{[]Session{sealed(s("tun0", rules.Full), 2), sealed(s("tun1", rules.Full), 1)}, []string{"tun0", "tun1"}},
	} {
		w, _ := Record{Sessions: c.sessions}.wish()
		var devs []string
		for i, l := range w.Links {
			devs = append(devs, l.Dev)
			if l.All != (i == 0) {
				t.Errorf("%s: for all: %t", l.Dev, l.All)
			}
		}
		if !slices.Equal(devs, c.want) {
			t.Errorf("order %q, want %q", devs, c.want)
		}
	}
}

func TestResolversThatCannotBeSetLeaveTheHostClosedAndItsOwnInPlace(t *testing.T) {
	h, n := newNamesHost(t)
	n.fail = errors.New("read-only")
	if said := h.up(withServers("tun0", rules.Full, "10.8.0.1")); len(said) != 1 || !strings.Contains(said[0], "read-only; names are blocked") {
		t.Errorf("warnings: %q", said)
	}
	st, err := h.Status()
	if err != nil || st.Enforced || st.State != Sealed || len(st.Drift) != 1 || n.have != hostsOwn || h.filter.have.Eval(inClear).Verdict.Passes() {
		t.Errorf("status: %s %q, %v; set: %q", st.State, st.Drift, err, n.have)
	}
	n.fail = nil
	if healed, err := h.Heal(context.Background(), false); err != nil || !healed.Done || n.have != "10.8.0.1" {
		t.Errorf("heal: %+v, %v; set: %q", healed, err, n.have)
	}
	h.mustStopAll()
	if n.have != hostsOwn {
		t.Errorf("given back: %q", n.have)
	}
}

func TestResolversAreSetAgainSomeTimesOnly(t *testing.T) {
	h, n := newNamesHost(t)
	now := h.Now()
	h.Guard.Now = func() time.Time { return now }
	h.up(withServers("tun0", rules.Full, "10.8.0.1"))
	for i := range maxAgain {
		n.have = "foreign"
		if healed, err := h.Heal(context.Background(), false); err != nil || !healed.Done || n.have != "10.8.0.1" {
			t.Fatalf("time %d: %+v, %v; set: %q", i, healed, err, n.have)
		}
		now = now.Add(time.Second)
	}
	for range 3 {
		n.have = "foreign"
		if healed, err := h.Heal(context.Background(), false); err != nil || healed.Done || n.have != "foreign" || !strings.Contains(healed.Names, "are left to whoever") {
			t.Fatalf("too often: %+v, %v; set: %q", healed, err, n.have)
		}
		now = now.Add(time.Hour)
	}
	h.up(withServers("tun0", rules.Full, "10.8.0.1"))
	if st, err := h.Status(); err != nil || !st.Enforced || n.have != "10.8.0.1" {
		t.Errorf("up again: %q, %v; set %q", st.Drift, err, n.have)
	}
	// Now and then is no fight.
	for range 3 * maxAgain {
		n.have = "foreign"
		if healed, err := h.Heal(context.Background(), false); err != nil || !healed.Done {
			t.Fatalf("now and then: %+v, %v", healed, err)
		}
		now = now.Add(againWindow / 2)
	}
}

// The names' effects among all others: killed before or after any, `recover`
// gives everything back.
func TestNamesComeBackAfterACallThatWasKilledAnywhere(t *testing.T) {
	for _, dies := range []string{"up", "down"} {
		for _, late := range []bool{false, true} {
			ended := false
			for n := 1; n < 200 && !ended; n++ {
				h, names := newNamesHost(t)
				w := &walker{host: h}
				if dies == "down" {
					h.up(withServers("tun0", rules.Full, "10.8.0.1"))
				}
				h.steps = 0
				die := func(i int) {
					if i == n {
						panic(crash{})
					}
				}
				if late {
					h.after = die
				} else {
					h.fault = func(i int) error { die(i); return nil }
				}
				err := w.guarded(func() (err error) {
					if dies == "up" {
						_, err = h.Up(context.Background(), withServers("tun0", rules.Full, "10.8.0.1"), false)
					} else {
						_, err = h.Stop(context.Background(), Selection{})
					}
					return err
				})
				ended = err == nil
				h.fault, h.after = nil, nil
				h.NamesJournal.(*fakeJournal).held = false
				if _, err := h.Recover(context.Background()); err != nil || names.have != hostsOwn || h.NamesJournal.(*fakeJournal).data != nil {
					t.Fatalf("%s killed at effect %d (after it: %t), recovered: names %q, %v", dies, n, late, names.have, err)
				}
			}
			if !ended {
				t.Errorf("%s did not come to its end", dies)
			}
		}
	}
}
