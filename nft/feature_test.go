package nft_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/nft"
)

func hex(t *testing.T, s string) uint64 {
	t.Helper()
	v, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestProbeReportsAllAndLeavesNothing(t *testing.T) {
	conn := open(t)
	for _, prepare := range []func(){
		func() {},
		func() {
			if _, err := conn.Replace(build(t, policy())); err != nil {
				t.Fatal(err)
			}
		},
	} {
		prepare()
		before := listed(t)
		var tokens []string
		for _, s := range conn.Probe() {
			tokens = append(tokens, s.Token)
			if s.Err != nil {
				t.Errorf("%s: %v", s.Token, s.Err)
			}
			if s.Name == "" || s.Module == "" || !strings.Contains(s.Since, ".") {
				t.Errorf("feature %q does not say what it is: %+v", s.Token, s.Feature)
			}
			if strings.Trim(s.Token, "abcdefghijklmnopqrstuvwxyz") != "" {
				t.Errorf("token %q is not a plain word", s.Token)
			}
		}
		want := []string{"inet", "egress", "fib", "reject", "ct", "skuid", "sets", "cgroup", "nflog"}
		if diff := cmp.Diff(want, tokens); diff != "" {
			t.Errorf("features wanted (-), probed (+):\n%s", diff)
		}
		if diff := cmp.Diff(before, listed(t)); diff != "" {
			t.Errorf("Probe left something:\n%s", diff)
		}
	}
}

func TestUnsupportedErrorNamesPartAndKernel(t *testing.T) {
	err := &nft.UnsupportedError{
		Missing: []nft.Feature{{Token: "egress", Name: "egress hook", Since: "5.16", Module: "CONFIG_NETFILTER_EGRESS"}},
		Err:     strconv.ErrRange,
	}
	want := "value out of range; this kernel lacks: egress hook (Linux 5.16, CONFIG_NETFILTER_EGRESS)"
	if err.Error() != want || !errors.Is(err, strconv.ErrRange) {
		t.Errorf("error %q", err)
	}
}
