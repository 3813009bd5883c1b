package nft_test

import (
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
	expect := func(ours bool) {
		t.Helper()
		select {
		case c := <-next:
			if c.Ours != ours || c.Program != "nft" || c.PID == 0 || c.Lost {
				t.Errorf("%+v, want ours %t by nft", c, ours)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no change was told")
		}
	}
	run(t, "nft", "add table inet foreign; add chain inet foreign c")
	expect(false)
	run(t, "nft", "flush chain inet vpnguard output")
	expect(true)
	run(t, "nft", "delete table inet foreign")
	expect(false)
	run(t, "nft", "flush ruleset")
	expect(true)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("closing did not end the reading")
	}
}
