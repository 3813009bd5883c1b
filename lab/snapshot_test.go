package lab

import (
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/probe"
)

func TestSnapshotsOfAnIdleHostAreEqual(t *testing.T) {
	l := newLab(t)
	ctx := within(t, 20*time.Second)
	before, err := l.Client.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Control(ctx, l.Client, ordinary(), probe.Order{Name: "udp-public"}); err != nil {
		t.Fatal(err)
	}
	after, err := l.Client.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := before.Diff(after); diff != "" {
		t.Errorf("changed by itself:\n%s", diff)
	}
	for _, change := range []struct{ do, shows string }{
		{"ip rule add priority 1234 table 77", "1234:"},
		{"echo 1 > /proc/sys/net/ipv4/conf/eth0/rp_filter", "rp_filter"},
		{"ip -6 route add 2001:db8:77::/48 dev lo", "2001:db8:77::/48"},
		{"nft add table inet other", "table inet other"},
		{"chmod 600 /etc/resolv.conf", "/etc/resolv.conf"},
	} {
		if err := l.Client.Script(ctx, change.do+"\n"); err != nil {
			t.Fatal(err)
		}
		now, err := l.Client.Snapshot(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := after.Diff(now); !strings.Contains(diff, change.shows) {
			t.Errorf("%q does not show:\n%s", change.do, diff)
		}
		after = now
	}
}
