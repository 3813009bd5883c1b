package tests

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vpnguard/vpnguard/lab/site"
)

// Where routing refuses to steer, the rules hold without it.
func TestRefusedSteeringIsAWarningAndTheHostIsClosed(t *testing.T) {
	s := newFaultScene(t)
	s.leaks()
	_, stderr, code := s.refusing("route.change:EOPNOTSUPP")(upByHand...)
	if code != 0 || !strings.Contains(stderr, "warning: not everything is steered, which the rules do without: add routing rule: operation not supported") {
		t.Errorf("up: exit %d: %s", code, stderr)
	}
	s.says("not steered", "sealed", 0)
	s.closed("not steered")
	if v := s.view(); !strings.Contains(v.text, "not everything is steered") {
		t.Errorf("status says nothing of it: %s", v.text)
	}
	// Somebody else's table is left alone.
	s.must(0, "down")
	s.original("after down")
	if err := s.lab.Client.Script(s.ctx, "ip route add 198.51.100.0/24 via 192.168.1.1 dev eth0 table 51922\n"); err != nil {
		t.Fatal(err)
	}
	s.before = s.snapshot()
	if _, stderr := s.must(0, upByHand...); !strings.Contains(stderr, "in use by somebody else") {
		t.Errorf("beside another's table: %s", stderr)
	}
	if stdout, _, _ := s.vpnguard("doctor"); !strings.Contains(stdout, "missing, optional: routing rules by uid and port") {
		t.Errorf("doctor does not say that the table is taken:\n%s", stdout)
	}
	s.closed("beside another's table")
	s.must(0, "down")
	s.original("beside another's table, after down")
}

func TestSteeringThatCannotBeTakenOutKeepsTheHostClosed(t *testing.T) {
	s := newFaultScene(t)
	s.leaks()
	s.must(0, upByHand...)
	_, stderr, code := s.refusing("route.remove:EPERM")("down")
	if code == 0 || !strings.Contains(stderr, "the host is closed") {
		t.Errorf("down: exit %d: %s", code, stderr)
	}
	s.closed("after a down that was refused")
	_, stderr, code = s.refusing("route.remove:EPERM")("recover")
	if code == 0 || !strings.Contains(stderr, "the host is open") {
		t.Errorf("recover opens whatever routing does: exit %d: %s", code, stderr)
	}
	s.says("with routing rules left over", "blocked", 3)
	s.must(0, "recover")
	s.original("after recover")
}

// What others take away of the steering is drift, and the guardian puts it back.
func TestGuardianPutsTheSteeringBack(t *testing.T) {
	s := newHandScene(t, "")
	s.must(0, upByHand...)
	const flush = "ip rule flush; ip -6 rule flush; ip rule add pref 32766 table main; ip rule add pref 32767 table default; ip -6 rule add pref 32766 table main"
	if out, err := s.lab.Client.Run(s.ctx, "sh", "-c", flush); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if stdout, _ := s.must(3, "status"); !strings.Contains(stdout, "drift     routing rule priority 1916 lookup 51922 is missing") {
		t.Errorf("status after the rules went:\n%s", stdout)
	}
	g := s.watch()
	s.says("with a guardian", "sealed", 0)
	for _, m := range []meddling{
		{"routing rules flushed", flush, "routing rule priority 1916 lookup 51922 is missing", "", false},
		{"a routing table flushed", "ip route flush table 51922", "route 0.0.0.0/0 dev tun0 metric 1 table 51922 is missing", "", false},
		{"another gateway", "ip route replace default via 192.168.1.254 dev eth0", "the ways to servers and tunnels are others", "", false},
	} {
		s.meddled(g, m)
	}
	out, err := s.lab.Client.Run(s.ctx, "ip", "route", "show", "table", "51920")
	if err != nil || !strings.Contains(out, "203.0.113.10 via 192.168.1.254 dev eth0") {
		t.Errorf("the way to the server: %q, %v", out, err)
	}
	if err := s.lab.Client.Script(s.ctx, "ip route replace default via 192.168.1.1 dev eth0\n"); err != nil {
		t.Fatal(err)
	}
	s.must(0, "down")
	s.original("after down")
}

// A service that is allowed in answers from the wire's own address, and what is
// not is not reached, while all else is steered.
func TestAnAllowedServiceAnswersBesideTheSteering(t *testing.T) {
	s := newHandScene(t, "")
	s.write("/etc/vpnguard/vpnguard.toml", "allow_in = [\"tcp/22\"]\n")
	for _, port := range []string{"22", "8022"} {
		s.job(s.lab.Client, "prompt", port)
	}
	s.must(0, upByHand...)
	for _, addr := range []netip.Addr{site.Client, site.Client6} {
		s.loggedIn(addr, "22").works("a session of " + addr.String())
		if _, said := s.login(addr, "8022"); !strings.HasPrefix(said, "failed") {
			t.Errorf("a service of %s that nobody allowed: %q", addr, said)
		}
	}
	s.must(0, "down")
	s.original("after down")
}
