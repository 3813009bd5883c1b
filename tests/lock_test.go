package tests

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/openvpn"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/site"
)

// lockProbes are ways out that have nothing in common but the wire.
var lockProbes = []string{"udp-public", "tcp-public", "icmp-public", "udp-public-v6", "dns-udp-lan", "udp-server", "bind-device-udp", "mdns"}

// closed demands that nothing of the probes leaves; shown that all of it does.
func (s *scene) closed(names []string) {
	s.Helper()
	for _, name := range names {
		a, err := s.lab.Try(s.ctx, s.lab.Client, s.user, probe.Order{Name: name})
		if err != nil {
			s.Fatal(err)
		}
		if v := a.Judge(s.policy(openvpn.Server{})); len(v.Leaks) > 0 {
			s.Errorf("%s: %v", name, v)
		}
	}
}

func (s *scene) shown(names []string) {
	s.Helper()
	for _, name := range names {
		if _, err := s.lab.Control(s.ctx, s.lab.Client, s.user, probe.Order{Name: name}); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *scene) state(want string) {
	s.Helper()
	out, _, _ := s.vpnguard("status")
	if got, _, _ := strings.Cut(out, "\n"); !strings.HasPrefix(got, "state     "+want) {
		s.Fatalf("%s, want %s", got, want)
	}
}

func TestLockClosesWithoutASessionAndUnlockRestores(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	before := s.snapshot()
	s.shown(lockProbes)
	s.must(0, "lock")
	s.state("locked")
	s.must(0, "status")
	s.closed(lockProbes)
	s.must(0, "recover")
	s.state("locked")
	s.closed(lockProbes[:2])
	s.must(0, "unlock")
	s.state("open")
	s.restored(before)
	s.shown(lockProbes)
}

func TestClientConnectsThroughTheLockAndStoppingItDoesNotOpen(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	srv := openvpn.Server{}
	s.serve(srv)
	before := s.snapshot()
	s.shown(lockProbes)
	s.must(0, "lock", "--endpoint", srv.Endpoint().String()+"/udp", "--owner", "0")
	client := s.connect(openvpn.Client{Remotes: remotes(srv)})
	s.state("sealed")
	if err := s.lab.TunnelWorks(s.ctx, s.user, site.Server, site.Server6); err != nil {
		t.Fatal(err)
	}
	s.closed([]string{"dns-udp-lan", "udp-server", "bind-device-udp", "mdns"})
	if _, err := client.Stop(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.state("locked")
	s.closed(lockProbes)
	s.must(0, "unlock")
	s.restored(before)
}

func TestTrialUndoesItselfUnlessConfirmed(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	before := s.snapshot()
	s.shown(lockProbes[:2])
	s.must(0, "lock", "--try", "5s")
	s.closed(lockProbes[:2])
	s.until("the trial ends", func() bool {
		out, _, _ := s.vpnguard("status")
		return strings.HasPrefix(out, "state     open")
	})
	s.restored(before)
	if s.keptOverBoots() {
		t.Error("a trial that ended is kept over boots")
	}

	s.must(0, "lock", "--try", "5s")
	if s.keptOverBoots() {
		t.Error("an unconfirmed trial is kept over boots")
	}
	s.must(0, "confirm")
	if !s.keptOverBoots() {
		t.Error("a confirmed lock is not kept over boots")
	}
	// The timer of the confirmed trial runs out and does nothing.
	deadline := time.Now().Add(7 * time.Second)
	s.until("the timer has run out", func() bool { return time.Now().After(deadline) })
	s.state("locked")
	s.must(0, "unlock")
	s.restored(before)
	s.must(2, "confirm")
}

func TestLockIsBackAfterAReboot(t *testing.T) {
	s := newScene(t, "")
	s.shown(lockProbes[:2])
	s.must(0, "lock", "--endpoint", "203.0.113.10:1194/udp", "--owner", "0", "--allow-in", "tcp/22")
	// What a boot takes away: rules and /run.
	s.boot()
	s.shown(lockProbes[:2])
	s.must(0, "lock") // as the unit calls it
	s.state("locked")
	s.closed(lockProbes)
	out, _ := s.must(0, "rules")
	for _, want := range []string{"203.0.113.10 . udp . 1194", "dport 22 "} {
		if !strings.Contains(out, want) {
			t.Errorf("the lock has lost %q:\n%s", want, out)
		}
	}

	// A damaged file closes, and names no endpoint.
	if err := os.WriteFile(s.lab.Client.Path("/var/lib/vpnguard/state.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.boot()
	_, message := s.must(1, "lock")
	if !strings.Contains(message, "the host is locked, without any endpoint") {
		t.Errorf("message %q", message)
	}
	s.state("locked")
	s.closed(lockProbes)
}

func (s *scene) boot() {
	s.Helper()
	if _, err := s.lab.Client.Run(s.ctx, "nft", "flush", "ruleset"); err != nil {
		s.Fatal(err)
	}
	if err := os.RemoveAll(s.lab.Client.Path("/run/vpnguard")); err != nil {
		s.Fatal(err)
	}
}

func (s *scene) keptOverBoots() bool {
	s.Helper()
	_, err := os.Stat(s.lab.Client.Path("/var/lib/vpnguard/state.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Fatal(err)
	}
	return err == nil
}

// until waits for a condition.
func (s *scene) until(what string, ok func() bool) {
	s.Helper()
	for !ok() {
		select {
		case <-s.ctx.Done():
			s.Fatalf("waiting until %s: %v", what, s.ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// At boot, and for each new interface, the lock comes back if there is one.
func TestLockThatIsNotKeptIsNotMadeByTheBootUnit(t *testing.T) {
	t.Parallel()
	s := newScene(t, "")
	before := s.snapshot()
	_, stderr := s.must(0, "lock", "--kept")
	if !strings.Contains(stderr, "no lock is kept; nothing to do") {
		t.Errorf("said: %s", stderr)
	}
	s.state("open")
	s.restored(before)
	s.must(2, "lock", "--kept", "--lan")
	s.must(0, "lock", "--lan")
	s.must(0, "lock", "--kept")
	s.state("locked")
	s.closed(lockProbes)
	s.must(0, "unlock")
	s.must(0, "lock", "--kept")
	s.state("open")
	s.restored(before)
}
