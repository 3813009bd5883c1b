package guard

import (
	"context"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/rules"
)

// mute is a kernel without nflog, and perhaps without more.
type mute struct {
	*fakeFilter
	alsoLacks []nft.Feature
	asked     int
}

func (f *mute) Replace(rs rules.Ruleset) (nft.Listing, error) {
	f.asked++
	missing := f.alsoLacks
	for _, t := range rs.Tables {
		for _, c := range t.Chains {
			if c.Log && len(missing) == 0 {
				missing = []nft.Feature{nft.NFLog}
			}
		}
	}
	if len(missing) > 0 {
		return listing(f.have), &nft.UnsupportedError{Missing: missing, Err: unix.ENOENT}
	}
	return f.fakeFilter.Replace(rs)
}

func logging(rs rules.Ruleset) bool {
	return strings.Contains(rs.Text(), " log prefix ")
}

func TestRulesTellOfBlockedPacketsWhereTheKernelCan(t *testing.T) {
	h := newHost(t)
	h.mustUp("tun0")
	if rec, _ := h.journal.record(); rec.NoLog || !logging(h.filter.have) {
		t.Errorf("the record says no_log %t, and the rules log: %t", rec.NoLog, logging(h.filter.have))
	}
	h.mustStopAll()
}

func TestKernelWithoutNFLogIsSealedAndAskedOnce(t *testing.T) {
	h := newHost(t)
	kernel := &mute{fakeFilter: &h.filter}
	h.Filter = kernel
	h.mustUp("tun0")
	if rec, _ := h.journal.record(); !rec.NoLog || logging(h.filter.have) || kernel.asked != 2 {
		t.Errorf("after up: no_log %t, rules log %t, asked %d times", rec.NoLog, logging(h.filter.have), kernel.asked)
	}
	if h.filter.have.Eval(inClear).Verdict.Passes() {
		t.Error("the host is open")
	}
	st, err := h.Status()
	if err != nil || !st.Enforced || st.State != Sealed {
		t.Errorf("status: %s, drift %q, %v", st.State, st.Drift, err)
	}
	if rs, _, err := h.RulesInForce(); err != nil || logging(rs) {
		t.Errorf("the rules in force log: %t, %v", logging(rs), err)
	}
	kernel.asked = 0
	h.mustUp("tun1")
	if rec, _ := h.journal.record(); !rec.NoLog || kernel.asked != 1 {
		t.Errorf("after a second up: no_log %t, asked %d times", rec.NoLog, kernel.asked)
	}
	h.mustStopAll()
}

func TestKernelThatLacksMoreThanNFLogIsRefused(t *testing.T) {
	h := newHost(t)
	h.Filter = &mute{fakeFilter: &h.filter, alsoLacks: []nft.Feature{{Token: "fib", Name: "fib"}}}
	_, err := h.Up(context.Background(), request("tun0"), false)
	if !errors.As(err, new(*nft.UnsupportedError)) || len(h.filter.have.Tables) > 0 || h.journal.data != nil {
		t.Errorf("up: %v; %d tables, record %s", err, len(h.filter.have.Tables), h.journal.data)
	}
}
