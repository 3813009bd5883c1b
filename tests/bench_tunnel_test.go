package tests

import (
	"testing"
	"time"
)

// tunnelUpLimit is how long it may take until a tunnel can be used, from the
// start of the command, where the server is 20 ms away.
const (
	tunnelTrip    = 20 * time.Millisecond
	tunnelUpLimit = 150 * time.Millisecond
)

// BenchmarkTunnelUp measures from the start of `vpnguard tunnel up` to its end,
// which is after the first handshake, with all traffic sealed and steered.
func BenchmarkTunnelUp(b *testing.B) {
	s := newDistantScene(b, tunnelTrip)
	s.configureTunnel("0.0.0.0/0, ::/0")
	for b.Loop() {
		var up, down []time.Duration
		for range 15 {
			start := time.Now()
			s.up()
			up = append(up, time.Since(start))
			s.alive("once it is up")
			start = time.Now()
			s.must(0, "tunnel", "down", "own0")
			down = append(down, time.Since(start))
		}
		b.Logf("usable %v after tunnel up starts, ended after %v (medians of %d; the server is %v away)", median(up), median(down), len(up), tunnelTrip)
		b.ReportMetric(float64(median(up).Milliseconds()), "up-ms")
		if median(up) > tunnelUpLimit {
			b.Errorf("usable after %v, want at most %v", median(up), tunnelUpLimit)
		}
	}
}
