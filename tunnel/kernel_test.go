package tunnel

import "testing"

func TestKernelsThatDamageRunsAreKnown(t *testing.T) {
	for release, want := range map[string]bool{
		"6.18.44": false, "6.12.9-amd64": false, "7.0": true, "7.0.0-rc1": true, "7.0.12-1-arch": true, "7.1.0": true, "7.1.4-generic": true,
		"7.1.5": false, "7.1.10": false, "7.2.0": false, "5.15.0-1-amd64": false, "": false, "unknown": false, "7": true,
	} {
		if got := brokenRelease(release); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}
