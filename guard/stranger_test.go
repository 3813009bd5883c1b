package guard

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

func nobody(Session) bool { return false }

func TestAStrangerChangesNothingWhereNoSessionIs(t *testing.T) {
	h := newHost(t)
	h.lockFor(t, "203.0.113.10:1194/udp")
	h.steps = 0
	if _, err := h.Stop(context.Background(), Selection{Allowed: nobody}); !errors.Is(err, os.ErrPermission) || h.steps > 0 {
		t.Errorf("a stranger's stop of a locked host: %v, %d effects", err, h.steps)
	}
}

func TestAStrangerDoesNotOpenWhatAnUnlockLeftClosed(t *testing.T) {
	h := newHost(t)
	if _, err := h.Lock(context.Background(), LockRequest{UIDs: []uint32{0}, Try: time.Minute, TryID: "one"}, false); err != nil {
		t.Fatal(err)
	}
	h.steps = 0
	h.fault = func(n int) error {
		if n == 3 {
			return errors.New("not now")
		}
		return nil
	}
	if _, err := h.Unlock(context.Background()); err == nil {
		t.Fatal("unlock did not fail: the test shows nothing")
	}
	h.fault = nil
	if len(h.filter.have.Tables) == 0 {
		t.Fatal("the host is open: the test shows nothing")
	}
	if _, err := h.Stop(context.Background(), Selection{Allowed: nobody}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a stranger's stop: %v", err)
	}
	if len(h.filter.have.Tables) == 0 {
		t.Error("a stranger opened the host")
	}
}
