package guard

import (
	"context"
	"testing"
	"time"
)

func TestATrialOverALockGivesTheLockBack(t *testing.T) {
	h := newHost(t)
	h.lockFor(t, "203.0.113.10:1194/udp")
	want := h.filter.have.Text()
	if _, err := h.Lock(context.Background(), LockRequest{UIDs: []uint32{0}, Try: time.Minute, TryID: "one"}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Expire(context.Background(), "one"); err != nil {
		t.Fatal(err)
	}
	if st, err := h.Status(); err != nil || st.State != Locked || h.filter.have.Text() != want {
		t.Errorf("the trial ended, and the host is %s (%v), not locked as it was before", st.State, err)
	}
	if !h.HasKept() {
		t.Error("the lock that was kept over boots is forgotten")
	}
}
