package lab

import (
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/probe"
)

// Each probe must show on the wire while nothing guards the client.
func TestEachProbeShowsWithoutAGuard(t *testing.T) {
	l := newLab(t)
	for _, p := range append(probe.All(), probe.Habits()...) {
		if p.NeedsTunnel {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			uid := ordinary()
			if p.Privileged {
				uid = 0
			}
			a, err := l.Control(within(t, 10*time.Second), l.Client, uid, probe.Order{Name: p.Name})
			if err != nil {
				t.Fatal(err)
			}
			verdict := a.Judge(l.Policy())
			if len(verdict.Leaks) == 0 {
				t.Errorf("the classifier explains all of it: %v", verdict)
			}
			t.Logf("%v", a.Receipt)
			t.Logf("%v", verdict)
		})
	}
}
