package nft_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/nft"
)

func TestMonitorNamesWhoChangedWhat(t *testing.T) {
	conn := open(t)
	if _, err := conn.Replace(build(t, policy())); err != nil {
		t.Fatal(err)
	}
	m, err := nft.OpenMonitor()
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan nft.Change, 10)
	ended := make(chan error, 1)
	go func() {
		for {
			list, err := m.Next()
			if err != nil {
				ended <- err
				return
			}
			for _, c := range list {
				next <- c
			}
		}
	}()
	expect := func(what string) {
		t.Helper()
		select {
		case c := <-next:
			if c.Ours != (what != "") || !strings.Contains(strings.Join(c.What, ", "), what) || c.Program != "nft" || c.PID == 0 || c.Lost {
				t.Errorf("%+v, want %q by nft", c, what)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no change was told")
		}
	}
	run(t, "nft", "add table inet foreign; add chain inet foreign c")
	expect("")
	run(t, "nft", "flush chain inet vpnguard output")
	expect("rule deleted from chain output")
	run(t, "nft", "delete table inet foreign")
	expect("")
	run(t, "nft", "flush ruleset")
	expect("table deleted")
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("closing did not end the reading")
	}
}
