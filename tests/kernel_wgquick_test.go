//go:build vm

package tests

import (
	"slices"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// With a real wg-quick, the kernel's WireGuard and the lines of `hooks show` no
// probe gets past; without them each does, beside the tunnel or after it.
func TestWGQuickIsSealedByTheLinesOfHooksShow(t *testing.T) {
	s := newKernelScene(t)
	s.ready()
	if err := s.lab.EnableSubflows(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.wgQuick(everything, "FwMark = 51820")
	s.showsBeside(essential, s.policyOf())

	s.wgQuick(everything, s.shownLines("wg-quick")...)
	before := s.snapshot()
	s.quick("up")
	s.sealedAs("full", "wg-quick")
	s.silentAll(essential, s.uids()...)
	s.again("all probes")
	s.must(0, "status")
	s.quick("down")
	s.restored(before)

	// A device that somebody takes away leaves the host closed.
	s.quick("up")
	if out, err := s.lab.Client.Run(s.ctx, "ip", "link", "del", "own0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.silentAll(short, s.uids()...)
	s.must(0, "down", "--dev", "own0")
	// wg-quick knows its own rules by the device's settings, and calls `down` once more.
	if err := s.lab.Client.Script(s.ctx, "ip link add own0 type wireguard\nwg-quick strip own0 | wg setconf own0 /dev/stdin\n"); err != nil {
		t.Fatal(err)
	}
	s.quick("down")
	s.restored(before)
}

// showsBeside is the control: each probe shows on the wire past wg-quick's tunnel
// or, where its routes cover it, without one.
func (s *tunnelScene) showsBeside(names []string, policy wire.Policy) {
	s.Helper()
	bare := policy
	bare.Carriers = nil
	s.quick("up")
	var inside []try
	past := 0
	for _, x := range s.tries(far, names) {
		if x.uid == 0 && !x.Privileged && s.user != 0 {
			continue // as any user
		}
		a, err := s.lab.Try(s.ctx, s.lab.Client, x.uid, x.order)
		switch {
		case err != nil:
			s.Errorf("control of %s as uid %d: %v", x.Name, x.uid, err)
		case len(a.Seen) == 0:
			inside = append(inside, x)
		case len(a.Judge(policy).Leaks) == 0:
			s.Errorf("control of %s as uid %d: all of it is explained", x.Name, x.uid)
		default:
			past++
		}
	}
	s.quick("down")
	for _, x := range inside {
		s.shows(s.lab.Client, x.uid, x.order, bare)
	}
	if past < 10 {
		s.Errorf("only %d probes show past wg-quick's tunnel", past)
	}
	s.Logf("%d probes show past the tunnel, %d without one", past, len(inside))
}

// AllowedIPs that are not everything make the session split: they belong in the
// tunnel, and the rest is as it was.
func TestWGQuickIsSplitByItsAllowedIPs(t *testing.T) {
	s := newKernelScene(t)
	s.ready()
	s.wgQuick(allowedSplit, s.shownLines("wg-quick")...)
	before := s.snapshot()
	policy := s.policyOf()
	for _, p := range belonging {
		if slices.Contains([]string{"udp-public", "bind-device-udp", "packet-ipv4"}, p.name) {
			s.shows(s.lab.Client, s.asUser(p.name), probe.Order{Name: p.name}, policy)
		}
	}
	s.quick("up")
	s.sealedAs("split", "wg-quick")
	s.splitWorks(far)
	s.tunnelIsTight("under wg-quick")
	s.quick("down")
	s.restored(before)
}

// A device without a mark is refused, with what to change; wg-quick takes all back.
func TestWGQuickWithoutAMarkIsRefused(t *testing.T) {
	s := newKernelScene(t)
	s.ready()
	var lines []string
	for _, line := range s.shownLines("wg-quick") {
		if !strings.HasPrefix(line, "FwMark") {
			lines = append(lines, line)
		}
	}
	s.wgQuick(allowedSplit, lines...)
	before := s.snapshot()
	out, err := s.lab.Client.Run(s.ctx, "wg-quick", "up", "own0")
	if err == nil || !strings.Contains(out, "FwMark = 51820") || !strings.Contains(out, "`wg set own0 fwmark 51820`") {
		t.Errorf("%v:\n%s", err, out)
	}
	s.restored(before)
	// One that is told is compared with what the device has.
	if err := s.lab.Client.Script(s.ctx, "ip link add own0 type wireguard\nwg set own0 fwmark 7\nip link set own0 up\n"); err != nil {
		t.Fatal(err)
	}
	if _, said, code := s.vpnguard("up", "--dev", "own0", "--endpoint", far.Endpoint().String()+"/udp", "--mark", "8"); code != 2 || !strings.Contains(said, "sends with mark 0x7, not with 0x8") {
		t.Errorf("another mark than the device's: exit %d:\n%s", code, said)
	}
	if _, said, code := s.vpnguard("up", "--dev", "own0"); code != 2 || !strings.Contains(said, "no endpoint is known") {
		t.Errorf("a device without a peer: exit %d:\n%s", code, said)
	}
}
