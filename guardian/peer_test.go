package guardian

import (
	"testing"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/rules"
)

func TestWhoMayDoWhat(t *testing.T) {
	session := guard.Session{ID: "tun0", PID: 100, Start: 5000, Owner: rules.Owner{UIDs: []uint32{0, 65534}}}
	hook := []Process{{300, 7000}, {200, 6000}, {100, 5000}}
	for _, c := range []struct {
		name           string
		peer           Peer
		end, update    bool
		stopAll, other bool // end all sessions; lock, unlock, up, recover
	}{
		{"root", Peer{UID: 0, PID: 300}, true, true, true, true},
		{"root of another user namespace", Peer{UID: 0, PID: 300, Foreign: true}, false, false, false, false},
		{"the client's hook without privileges", Peer{UID: 65534, PID: 300, Line: hook}, true, true, false, false},
		{"the client's hook with a uid of its own", Peer{UID: 4711, PID: 300, Line: hook}, true, true, false, false},
		{"the owner's other program", Peer{UID: 65534, PID: 300, Line: hook[:2]}, true, false, false, false},
		{"what cannot be mapped looks like the owner", Peer{UID: 65534, PID: 300, Foreign: true}, false, false, false, false},
		{"a stranger", Peer{UID: 1000, PID: 300, Line: hook[:1]}, false, false, false, false},
		{"a later process with the client's pid", Peer{UID: 1000, PID: 300, Line: []Process{{300, 7000}, {100, 5001}}}, false, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.peer.mayEnd(session); got != c.end {
				t.Errorf("end the session: %t", got)
			}
			if got := c.peer.mayUpdate(session); got != c.update {
				t.Errorf("name another server: %t", got)
			}
			if got := c.peer.may(VerbStop, &guard.Selection{All: true}); got != c.stopAll {
				t.Errorf("end all: %t", got)
			}
			for _, v := range []Verb{VerbUp, VerbLock, VerbConfirm, VerbUnlock, VerbExpire, VerbRecover, VerbInfo, VerbFollow} {
				if got := c.peer.may(v, nil); got != c.other {
					t.Errorf("%s: %t", v, got)
				}
			}
			if c.peer.may("open", nil) {
				t.Error("an unknown verb is allowed")
			}
		})
	}
	byHand := guard.Session{ID: "tun1", Owner: rules.Owner{UIDs: []uint32{0}}}
	if (Peer{UID: 1000, Line: []Process{{0, 0}}}).mayEnd(byHand) {
		t.Error("a session without a client belongs to whoever has no parent")
	}
}

func TestCallersWhoAreNotRootAreBounded(t *testing.T) {
	s := &server{calls: map[uint32]int{}}
	var leave []func()
	enter := func(uid uint32) bool {
		f, err := s.enter(Peer{UID: uid})
		if err == nil {
			leave = append(leave, f)
		}
		return err == nil
	}
	for i := range maxCallsUID {
		if !enter(1000) {
			t.Fatalf("call %d was refused", i)
		}
	}
	if enter(1000) {
		t.Error("one user takes more than its share")
	}
	for uid := uint32(1001); len(leave) < maxCalls; uid++ {
		if !enter(uid) {
			t.Fatalf("uid %d was refused", uid)
		}
	}
	if enter(5000) {
		t.Error("all users together take more than theirs")
	}
	if !enter(0) {
		t.Error("root is kept out")
	}
	for _, f := range leave[:maxCallsUID] {
		f()
	}
	leave = leave[maxCallsUID:]
	for uid := range uint32(2 * maxCallsUID) {
		f, err := s.enter(Peer{UID: 100000 + uid, Foreign: true})
		if (err == nil) != (uid < maxCallsUID) {
			t.Errorf("caller %d of another user namespace: %v", uid, err)
		}
		if err == nil {
			leave = append(leave, f)
		}
	}
	for _, f := range leave {
		f()
	}
	if !enter(1000) || len(s.calls) != 1 {
		t.Errorf("who left still counts: %v", s.calls)
	}
}
