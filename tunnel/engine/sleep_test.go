package engine

import (
	"testing"
	"time"
)

// The host slept: the clock jumped, and no timer came in time. The first packet
// asks for new keys and arrives; what the old keys are good for is over.
func TestSleepCostsOneHandshake(t *testing.T) {
	w, a, b := pair(t, 33)
	a.says(b, 1)
	b.heard(1)
	for _, slept := range []time.Duration{time.Minute, 4 * time.Minute, 8 * time.Hour} {
		before := a.Peers()[0].LastHandshake
		w.now += slept
		a.says(b, 2)
		b.heard(2)
		b.says(a, 3)
		a.heard(3)
		if again := a.Peers()[0].LastHandshake.After(before); again != (slept >= rejectAfterTime) {
			t.Errorf("after %v: a new handshake %t", slept, again)
		}
	}
}
