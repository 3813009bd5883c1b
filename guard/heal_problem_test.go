package guard

import (
	"context"
	"errors"
	"testing"

	"github.com/vpnguard/vpnguard/sysctl"
)

// A guardian looks again after each of its own transactions, so that a repair
// that can never succeed must not commit the same rules each time.
func TestAProblemThatStaysDoesNotCommitRulesAgainAndAgain(t *testing.T) {
	h := newHost(t)
	h.lockFor(t, "203.0.113.10:1194/udp")
	refused := errors.New("input/output error")
	replaced := 0
	h.check = func(effect string) {
		if effect == "replace" {
			replaced++
		}
	}
	turning := ""
	for _, c := range mustRecord(h).Knobs[:1] {
		turning = c.Knob.String()
		h.knobs.fs().Restore(mustRecord(h).Knobs[:1])
	}
	h.Knobs = stuck{&h.knobs, turning, refused}
	for range 10 {
		if _, err := h.Heal(context.Background(), false); err == nil {
			t.Fatal("it healed: the test shows nothing")
		}
	}
	if replaced > 1 {
		t.Errorf("10 looks at a sysctl that cannot be set committed the same rules %d times; each commit calls for another look", replaced)
	}
}

// stuck has a sysctl that cannot be set.
type stuck struct {
	*fakeKnobs
	name string
	err  error
}

func (s stuck) Apply(changes []sysctl.Change) (done []sysctl.Change, skipped []sysctl.Skipped, err error) {
	for _, c := range changes {
		if c.Knob.String() == s.name {
			return nil, nil, s.err
		}
	}
	return s.fakeKnobs.Apply(changes)
}
