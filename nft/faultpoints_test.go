//go:build !faultpoints

package nft_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The tests of refused features need a build with fault points.
func TestWithFaultPoints(t *testing.T) {
	out, err := exec.Command("go", "test", "-count=1", "-v", "-tags", "faultpoints", "-run", "^TestRefused", ".").CombinedOutput()
	if err != nil || strings.Count(string(out), "\n--- PASS: TestRefused") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
}
