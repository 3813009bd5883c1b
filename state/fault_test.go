//go:build faultpoints

package state

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestFaultPointsLieOnBothSidesOfTheRename(t *testing.T) {
	for point, want := range map[string]string{
		"state.save.before-rename": "old",
		"state.save.after-rename":  sample.Device,
	} {
		s := newStore(t)
		mustSave(t, s, body{Device: "old"})
		cmd := childCommand("save", s.path, filepath.Join(t.TempDir(), "none"))
		cmd.Env = append(cmd.Env, "VPNGUARD_FAULT=kill:"+point)
		wantKilled(t, cmd.Run())
		var got body
		if _, err := s.Load(&got); err != nil || got.Device != want {
			t.Errorf("%s: %q, %v; want %q", point, got.Device, err, want)
		}
		if _, err := s.Load(&body{}); errors.Is(err, ErrNone) {
			t.Errorf("%s: no journal", point)
		}
	}
}
