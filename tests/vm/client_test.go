//go:build vm

package vm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// A client is how one VPN client is driven in the guest.
type client struct {
	name     string
	start    string // it is told to connect
	stop     string
	dev      string
	inner    string // its address in the tunnel, as a regular expression
	carriers []wire.Carrier
	// leaks are the ways that leave by the wire with the client alone.
	leaks []string
	hook  string // puts the wiring in
	// opens: its stop opens the host; else only `vpnguard down` does.
	opens bool
	// named: names of the tunnel's own are found while it is up.
	named bool
	// asks: alone, the client leaves names to the LAN's resolver.
	asks bool
	// drift is what somebody else changes all the while; see [drift].
	drift string
}

// unguarded are ways that a tunnel of IPv4 does not take, whoever made it.
var unguarded = []string{"bound", "group6", "packet", "lan", "udp6"}

// runs demands of a client what vpnguard promises, after the control.
func (s *scene) runs(c client) {
	s.Helper()
	before := s.snapshot()
	defer s.clean(c.stop)

	s.must(c.start)
	s.works(c.inner)
	s.mark()
	for _, way := range c.leaks {
		s.seen("control, "+c.name+" alone: "+way, ways[way])
	}
	if c.asks {
		s.must("resolvectl flush-caches; getent hosts " + lanName)
		s.seen("control, "+c.name+" alone: name asked of the LAN's resolver", asksLAN)
	}
	s.must(c.stop)
	s.gone(c.dev)
	s.same(before, s.snapshot())

	s.must(c.hook)
	s.must(c.start)
	s.sealed(c)
	s.Logf("sealed: %s", s.must("vpnguard status; ip rule | wc -l"))
	s.mark()
	s.triedMore()
	s.works(c.inner)
	if c.named {
		s.must("getent hosts " + inside + " | grep 10.53.0.80")
	}
	s.must("resolvectl flush-caches; getent hosts " + lanName + " || :")
	s.closed(c.name, c.carriers...)

	s.must(c.stop)
	s.gone(c.dev)
	if !c.opens {
		s.mark()
		s.triedMore()
		s.closed(c.name+", stopped", c.carriers...)
		s.must("vpnguard down --dev " + c.dev)
	}
	s.eventually("the host's opening", "vpnguard status | grep -x 'state *open.*'")
	s.same(before, s.snapshot())
	s.mark()
	s.seen("opened", ways["udp"])
}

// clean tells how the guest is after a failure, and ends what would be in the way
// of those who come after.
func (s *scene) clean(stop string) {
	if !s.Failed() {
		return
	}
	s.save()
	out, _, err := s.guest.Run(time.Minute, "vpnguard status; ip -br addr; ip rule; ip route; ls -l /etc/resolv.conf; cat /etc/resolv.conf; resolvectl; journalctl -b --no-pager -n 60")
	s.Logf("%v\n%s", err, out)
	_, _, _ = s.guest.Run(time.Minute, stop+"; vpnguard down --all; vpnguard recover")
}

// sealed waits until the client is up, the seal is whole and the tunnel works.
func (s *scene) sealed(c client) {
	s.Helper()
	s.eventually("the seal of "+c.name, "vpnguard status; vpnguard status | grep -q '^state *sealed' && vpnguard status | grep -q '^session *"+c.dev+":'")
	s.status("sealed", c.drift)
	s.works(c.inner)
}

func (s *scene) gone(dev string) {
	s.Helper()
	s.eventually("the end of "+dev, "! ip link show "+dev+" 2>/dev/null")
}

// triedMore waits until each way was tried often since the call.
func (s *scene) triedMore() {
	s.Helper()
	const often = 10
	counts := func() map[string]int {
		n := map[string]int{}
		for line := range strings.Lines(s.must("cat /run/sent-early")) {
			var name string
			var tried int
			if _, err := fmt.Sscan(line, &name, &tried); err != nil {
				s.Fatalf("sent-early: %q: %v", line, err)
			}
			n[name] = tried
		}
		return n
	}
	first := counts()
	for end := time.Now().Add(patience); ; time.Sleep(time.Second) {
		least := often
		for name, n := range counts() {
			least = min(least, n-first[name])
		}
		if least >= often {
			return
		}
		if time.Now().After(end) {
			s.Fatalf("a way was tried %d times within %s", least, patience)
		}
	}
}

// part runs a part of a machine's time as a test of its own.
func (s *scene) part(name string, f func(s *scene)) {
	s.Run(name, func(t *testing.T) {
		part := *s
		part.T = t
		part.mark()
		start := time.Now()
		defer func() { t.Logf("%.1fs", time.Since(start).Seconds()) }()
		f(&part)
	})
}
