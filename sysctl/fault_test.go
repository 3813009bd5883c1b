//go:build faultpoints

package sysctl

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRefusedWriteIsSkippedOrStopsApply(t *testing.T) {
	for errno, skip := range map[string]bool{"EPERM": true, "EROFS": true, "EINVAL": false} {
		t.Setenv("VPNGUARD_FAULT", "refuse:sysctl.write:"+errno)
		fs := tree(t, map[string]int{"ipv4/e/rp_filter": 0, "ipv4/f/rp_filter": 0})
		plan, _, err := Plan(fs, []string{"e", "f"}, nil)
		must(t, err)
		done, skipped, err := fs.Apply(plan)
		if len(done) > 0 || (len(skipped) == 2) != skip || errors.Is(err, unix.EINVAL) == skip {
			t.Errorf("%s: done %v, skipped %v, %v", errno, done, skipped, err)
		}
	}
}
