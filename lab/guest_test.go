package lab

import (
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

func TestGuestsShowOnTheClientsCable(t *testing.T) {
	l := newLab(t)
	ctx := within(t, 30*time.Second)
	if err := l.EnableGuest(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"udp-public", "tcp-public", "udp-public-v6", "udp-server"} {
		a, err := l.Control(ctx, l.Guest, ordinary(), probe.Order{Name: name})
		if err != nil {
			t.Error(err)
		}
		t.Logf("%v", l.Policy().Judge(a.Frames))
	}
	if err := l.EnableMacvlan(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bind-device-udp", "bind-device-udp-v6", "packet-arp"} {
		uid := ordinary()
		if name == "packet-arp" {
			uid = 0
		}
		a, err := l.Control(ctx, l.Guest, uid, probe.Order{Name: name, Dev: "mv0"})
		if err != nil {
			t.Error(err)
		}
		v := l.Policy().Judge(a.Frames)
		t.Logf("%v", v)
		if !strings.Contains(v.String(), site.MacvlanMAC) {
			t.Errorf("%s: not from the macvlan: %v", name, v)
		}
	}
}
