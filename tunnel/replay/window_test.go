package replay_test

import (
	"math/rand/v2"
	"testing"

	"github.com/vpnguard/vpnguard/tunnel/replay"
)

// The cases that implementations of this window got wrong: the edges of the
// window and of its words, and jumps that clear part or all of it.
func TestWindowKnownCases(t *testing.T) {
	const size = replay.Size
	type step struct {
		n  uint64
		ok bool
	}
	for name, steps := range map[string][]step{
		"start":            {{0, true}, {0, false}, {1, true}, {1, false}, {9, true}, {8, true}, {7, true}, {7, false}},
		"gap":              {{1, true}, {63, true}, {62, true}, {64, true}, {63, false}, {65, true}, {0, true}},
		"edge behind":      {{size + 1, true}, {1, false}, {2, true}, {2, false}, {0, false}, {size + 1, false}},
		"edge exactly":     {{size, true}, {0, false}, {1, true}, {size + 10, true}, {10, false}, {11, true}},
		"word edges":       {{127, true}, {128, true}, {64, true}, {63, true}, {191, true}, {192, true}, {192, false}, {191, false}},
		"jump by one ring": {{5, true}, {5 + size + 64, true}, {5, false}, {6 + 64, true}, {6 + 64, false}, {5 + size + 63, true}},
		"far jump":         {{3, true}, {1 << 40, true}, {3, false}, {1<<40 - 1, true}, {1<<40 - size + 1, true}, {1<<40 - size, false}},
		"stale bits":       {{70, true}, {70 + 128*64, true}, {70 + 128*64 - 64, true}, {70 + 128*64 + 1, true}, {70 + 128*64 - 1, true}},
		"top":              {{1<<64 - 2, true}, {1<<64 - 1, false}, {1<<64 - 2, false}, {1<<64 - 3, true}},
		"only the top":     {{1<<64 - 1, false}, {0, true}},
	} {
		var w replay.Window
		for i, s := range steps {
			if fresh := w.Fresh(s.n); s.n != 1<<64-1 && fresh != s.ok {
				t.Errorf("%s, step %d: %d fresh %v", name, i, s.n, fresh)
			}
			if got := w.Take(s.n); got != s.ok {
				t.Errorf("%s, step %d: %d taken %v", name, i, s.n, got)
			}
		}
	}
}

// A window that remembers everything must agree, for walks that stay near the
// edge, jump, and go back.
func TestWindowAgreesWithAPerfectMemory(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var w replay.Window
		seen, top := map[uint64]bool{}, uint64(0)
		for range 20000 {
			var n uint64
			switch rng.IntN(8) {
			case 0:
				n = top + rng.Uint64N(2*replay.Size)
			case 1:
				n = top - min(top, replay.Size-3+rng.Uint64N(6))
			case 2, 3:
				n = top - min(top, rng.Uint64N(300))
			default:
				n = top + rng.Uint64N(4)
			}
			want := !seen[n] && (n > top || len(seen) == 0 || top-n < replay.Size)
			if got := w.Take(n); got != want {
				t.Fatalf("seed %d: %d with top %d: %v", seed, n, top, got)
			}
			if want {
				seen[n] = true
				top = max(top, n)
			}
		}
	}
}
