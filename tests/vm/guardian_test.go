//go:build vm

package vm

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// stream is what the stream sends, by whatever way.
var stream = wire.Evidence{Needles: [][]byte{[]byte("vm-stream-")}}

// guardianActs are what happens to a running guardian; each leaves it running.
var guardianActs = []act{
	{"guardian stopped and started", "systemctl stop vpnguard && sleep 2 && systemctl start vpnguard"},
	{"guardian restarted", "systemctl restart vpnguard"},
	{"guardian killed", "systemctl kill -s KILL vpnguard"},
	// More often than systemd by itself lets a unit come back.
	{"guardian killed again and again", `for n in 1 2 3 4 5 6 7; do
		systemctl kill -s KILL vpnguard
		for wait in $(seq 100); do systemctl -q is-active vpnguard && break; sleep 0.2; done
	done`},
}

// healing is drift that the guardian puts right as often as it comes.
const healing = ""

func TestTheGuardianGuardsABootedHost(t *testing.T) {
	s := newScene(t, "networkd")
	s.boot()
	s.online()
	s.must("systemctl start stream")
	for name, e := range ways {
		s.seen(name, e)
	}

	s.must("systemctl enable --now vpnguard")
	s.guards("owner")
	s.Logf("sandbox: %s", s.must("systemd-analyze security --no-pager vpnguard.service | tail -n 1; systemctl show -p TasksCurrent -p MemoryCurrent vpnguard"))
	s.trials()

	// The control of the flush: without a guardian the stream goes on.
	s.must("vpnguard lock && systemctl stop vpnguard")
	s.mark()
	s.closed("locked by the guardian, which is gone")
	s.must("nft flush ruleset")
	s.seen("stream after a flush, without the guardian", stream)
	s.mark()
	s.seen("stream half a second later", stream)
	s.must("systemctl start vpnguard")
	s.mark()
	time.Sleep(time.Second)
	s.closed("guardian started on an open host that was locked")
	for n := range 5 {
		s.flush(n)
	}
	for _, a := range guardianActs {
		s.mark()
		before := s.tries("stream")
		s.must(a.script)
		s.eventually(a.name, "systemctl is-active vpnguard")
		time.Sleep(time.Second)
		s.closed(a.name)
		if n := s.tries("stream") - before; n <= 0 {
			s.Errorf("%s: the stream tried %d times meanwhile", a.name, n)
		}
		s.status("locked", healing)
	}

	for _, b := range []struct{ name, manager, prepare string }{
		{"both units", "networkd", "systemctl enable vpnguard-lock vpnguard"},
		{"guardian alone", "NetworkManager", "systemctl disable vpnguard-lock"},
		{"guardian alone, kept lock cut short", "networkd", "truncate -s 20 /var/lib/vpnguard/state.json"},
	} {
		s.must(b.prepare)
		s.mark()
		s.off("sync; systemctl reboot")
		s.closed("shutdown before: " + b.name)
		s.words = managers[b.manager]
		s.boot()
		s.online()
		s.must("systemctl start stream")
		s.tried("stream")
		s.tried("early")
		s.closed(b.name)
		s.guards("owner|the host is locked, without any endpoint")
		s.status("locked", healing)
	}
	s.mark()
	s.must("vpnguard unlock")
	s.seen("stream after unlock", stream)
	s.lasting(stream)
}

// guards demands that the guardian runs, and that it and systemd tell nothing
// bad of it but what is expected.
func (s *scene) guards(expected string) {
	s.Helper()
	s.eventually("the guardian's start", "systemctl is-active vpnguard")
	s.Logf("guardian: %s", s.must("journalctl -b -o short-monotonic --no-pager -u vpnguard -u vpnguard-lock; systemctl --failed --no-legend; systemctl is-system-running || true"))
	bad := s.must("journalctl -b -p warning -o cat --no-pager -u vpnguard; journalctl -b -o cat --no-pager _PID=1 | grep -i vpnguard | grep -Ei 'unknown|ignor|fail|cycle|invalid' || true")
	for line := range strings.Lines(bad) {
		if !regexp.MustCompile(expected + "|msg=healed|a route leads to a wire").MatchString(line) {
			s.Errorf("journal: %s", line)
		}
	}
	if failed := s.must("systemctl --failed --no-legend --plain"); strings.Contains(failed, "vpnguard.service") {
		s.Errorf("failed units: %s", failed)
	}
}

// flush lets another program flush all rules under the stream: the guardian
// heals it and names it, and only frames of that moment leave.
func (s *scene) flush(n int) {
	s.Helper()
	s.mark()
	heals := s.heals()
	s.must("nft flush ruleset")
	s.eventually("healing", fmt.Sprintf("test $(journalctl -b -o cat --no-pager -u vpnguard | grep -c 'msg=healed.*nft (pid') -gt %d", heals))
	time.Sleep(500 * time.Millisecond)
	frames := s.guest.Gateway.Frames()[s.since:]
	sent := stream.Find(frames)
	span := time.Duration(0)
	if len(sent) > 0 {
		span = sent[len(sent)-1].Time.Sub(sent[0].Time)
	}
	s.Logf("flush %d: %d frames of the stream left within %s\n%s", n, len(sent), span, s.must("journalctl -b -o cat --no-pager -u vpnguard | grep 'msg=healed' | tail -n 1"))
	s.mark()
	time.Sleep(time.Second)
	s.closed("healed")
	s.status("locked", healing)
}

// heals is how often the guardian named nft so far.
func (s *scene) heals() (n int) {
	s.Helper()
	if _, err := fmt.Sscan(s.must("journalctl -b -o cat --no-pager -u vpnguard | grep -c 'msg=healed.*nft (pid' || true"), &n); err != nil {
		s.Fatal(err)
	}
	return n
}

// bare is root without any capability, who can change nothing but by the guardian.
const bare = "setpriv --bounding-set=-all --inh-caps=-all "

// trials tries, confirms and unlocks by the guardian on an open host.
func (s *scene) trials() {
	s.Helper()
	s.Logf("try: %s", s.must(bare+"vpnguard lock --try 10s 2>&1"))
	s.mark()
	time.Sleep(2 * time.Second)
	s.closed("tried")
	s.eventually("the trial's end", "vpnguard status | grep -x 'state *open.*'")
	s.mark()
	s.seen("stream after a trial", stream)
	s.must(bare + "vpnguard lock --try 60s && " + bare + "vpnguard confirm")
	s.mark()
	s.status("locked", healing)
	s.must("test \"$(cat /proc/sys/net/ipv4/conf/wire0/rp_filter)\" = 1 && test -e /run/vpnguard/state.json && test -e /var/lib/vpnguard/state.json")
	time.Sleep(time.Second)
	s.closed("confirmed")
	s.must(bare + "vpnguard unlock")
	s.must("test \"$(cat /proc/sys/net/ipv4/conf/wire0/rp_filter)\" = 2 && test ! -e /var/lib/vpnguard/state.json")
	s.mark()
	s.seen("stream after unlock", stream)
}
