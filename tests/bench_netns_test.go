package tests

import (
	"os/exec"
	"testing"
	"time"
)

// mostExec is what exec may add to a program's start: less than anybody notices.
const mostExec = 15 * time.Millisecond

// BenchmarkExec compares a program's start in a namespace with its start outside.
func BenchmarkExec(b *testing.B) {
	exe := binary(b, "")
	benchLinks(b)
	if out, err := exec.Command(exe, "netns", "up", "bench", "--dev", "tun0").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	b.Cleanup(func() { _ = exec.Command(exe, "netns", "down", "bench").Run() })
	for b.Loop() {
		var inside, outside []time.Duration
		for range benchRounds {
			inside = append(inside, timed(b, exe, "exec", "--", "/bin/true"))
			outside = append(outside, timed(b, "/bin/true"))
		}
		compare(b, "exec", "vpnguard exec -- true", inside, "true", outside)
		added := median(inside) - median(outside)
		b.ReportMetric(float64(added)/float64(time.Millisecond), "exec-ms")
		if added > mostExec {
			b.Errorf("exec adds %v to a program's start, want at most %v", added, mostExec)
		}
	}
}
