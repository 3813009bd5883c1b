package guard

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestATrialThatCouldNotEndEndsByTheNextTry(t *testing.T) {
	h := newHost(t)
	if _, err := h.Lock(context.Background(), LockRequest{UIDs: []uint32{0}, Try: time.Minute, TryID: "one"}, false); err != nil {
		t.Fatal(err)
	}
	failed := false
	for range 2 {
		h.fault = func(int) error { return nil }
		if !failed {
			// The first effect forgets what is kept, the second records; what comes next
			// fails, once.
			h.steps = 0
			h.fault = func(n int) error {
				if n == 3 {
					failed = true
					return errors.New("not now")
				}
				return nil
			}
		}
		_, err := h.Expire(context.Background(), "one")
		t.Logf("expire: %v", err)
	}
	if !failed {
		t.Fatal("nothing failed: the test shows nothing")
	}
	if len(h.filter.have.Tables) > 0 {
		t.Error("the timer tried again without an error, and the host is closed")
	}
}
