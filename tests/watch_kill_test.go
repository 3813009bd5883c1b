package tests

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

const guardianKills = 200

// The tables stay when their owner is killed, at any moment of its life, and
// the next one adopts them: nothing leaves meanwhile.
func TestGuardianKilledUnderFloodLeaksNothing(t *testing.T) {
	s := newHandScene(t, "")
	s.floodShows()
	s.leaksWhileReplaced(policyAlone)
	s.must(0, upByHand...)
	mark := s.mark()
	stop, nonces := s.flood(2000, 4*sceneTime)
	adopted := 0
	start := time.Now()
	for i := range guardianKills {
		g := s.startWatch()
		// From before it has opened anything to long after it guards.
		if i%4 == 3 {
			s.until("the guardian guards", func() bool { return strings.Contains(g.log(), "msg=guarding") })
			if !strings.Contains(g.log(), "state=sealed owns=true") {
				t.Fatalf("kill %d: the guardian did not adopt:\n%s", i, g.log())
			}
			adopted++
		} else {
			time.Sleep(time.Duration(i) * 200 * time.Microsecond)
		}
		_ = g.ends(syscall.SIGKILL)
	}
	took := time.Since(start)
	g := s.watch()
	if v := s.guardian(); !v.Owns {
		t.Errorf("%+v\n%s", v, g.log())
	}
	s.must(0, "status")
	attempts := stop()
	frames, counts := s.seen(mark, nonces)
	t.Logf("%d kills in %v, %d of them after adoption; %d packets sent, %v on the wire", guardianKills, took.Round(time.Millisecond), adopted, attempts, counts)
	if v := s.lab.Policy().Judge(frames); counts[0] > 0 || counts[1] > 0 || len(v.Leaks) > 0 {
		t.Errorf("leaked: %v", v)
	}
	if attempts < 1000 || adopted == 0 {
		t.Errorf("%d packets, %d adoptions: nothing is shown", attempts, adopted)
	}
	s.must(0, "down")
	s.original("after down")
}
