package tunnel_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rounds of every benchmark. VPNGUARD_BENCH_ROUNDS sets another number: more
// take longer and make medians steadier.
func rounds(b *testing.B) int {
	text := os.Getenv("VPNGUARD_BENCH_ROUNDS")
	if text == "" {
		return 5
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("VPNGUARD_BENCH_ROUNDS %q is not a number of rounds", text)
	}
	return n
}

// quiet is how many cores others may use in a round that counts.
const quiet = 0.25

// sample is one value of one round.
type sample struct{ value, foreign float64 }

// score is what a benchmark measured: by name of the value and of who made it,
// the samples in the order of the rounds.
type score struct {
	names []string
	of    map[string]map[string][]sample
}

func (s *score) add(name, who string, value, foreign float64) {
	if s.of == nil {
		s.of = map[string]map[string][]sample{}
	}
	if s.of[name] == nil {
		s.of[name] = map[string][]sample{}
		s.names = append(s.names, name)
	}
	s.of[name][who] = append(s.of[name][who], sample{value, foreign})
}

// goal is what the ratio of ours to theirs has to be.
type goal struct {
	ratio float64
	most  bool // at most, else at least
}

func (g goal) holds(ratio float64) bool {
	return g.most && ratio <= g.ratio || !g.most && ratio >= g.ratio
}

func (g goal) String() string {
	if g.most {
		return fmt.Sprintf("at most %g", g.ratio)
	}
	return fmt.Sprintf("at least %g", g.ratio)
}

// compare returns the medians of both, and the median of the ratios of the
// rounds in which nobody else disturbed them; of all, if fewer than three were
// quiet. A machine drifts: only neighbours can be compared.
func (s *score) compare(name, ours, theirs string) (c comparison) {
	x, y := s.of[name][ours], s.of[name][theirs]
	n := min(len(x), len(y))
	c.all = n
	var use []int
	for i := range n {
		if x[i].foreign <= quiet && y[i].foreign <= quiet {
			use = append(use, i)
		}
	}
	c.quiet = len(use)
	if len(use) < min(3, n) {
		use = use[:0]
		for i := range n {
			use = append(use, i)
		}
	}
	var va, vb, vr, vf []float64
	for _, i := range use {
		va, vb, vr = append(va, x[i].value), append(vb, y[i].value), append(vr, x[i].value/y[i].value)
		vf = append(vf, x[i].foreign, y[i].foreign)
	}
	c.ours, c.theirs, c.ratio, c.foreign = median(va), median(vb), median(vr), median(vf)
	return c
}

// comparison is of medians.
type comparison struct {
	ours, theirs, ratio float64
	foreign             float64 // cores that others used in the rounds that count
	quiet, all          int     // rounds
}

// rounds says how far it is to be trusted.
func (c comparison) rounds() string {
	if c.quiet < min(3, c.all) {
		return fmt.Sprintf("%d of %d: DISTURBED by %.1f cores", c.quiet, c.all, c.foreign)
	}
	return fmt.Sprintf("%d of %d", c.quiet, c.all)
}

// report prints a table of ours against theirs, and gives the ratios to the
// benchmark's own line.
func (s *score) report(b *testing.B, ours, theirs string, goals map[string]goal) {
	b.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "\n%-30s %10s %12s %8s  %-14s %-7s %s\n", "", ours, theirs, "ratio", "goal", "", "quiet rounds")
	for _, name := range s.names {
		if len(s.of[name][ours]) == 0 || len(s.of[name][theirs]) == 0 {
			continue
		}
		c := s.compare(name, ours, theirs)
		want, flag := "", ""
		if g, ok := goals[name]; ok {
			want, flag = g.String(), "held"
			if !g.holds(c.ratio) {
				flag = "MISSED"
			}
		}
		fmt.Fprintf(&out, "%-30s %10.4g %12.4g %8.3f  %-14s %-7s %s\n", name, c.ours, c.theirs, c.ratio, want, flag, c.rounds())
		b.ReportMetric(c.ratio, "x-"+strings.NewReplacer(" ", "-", ",", "", "/", "-per-").Replace(name))
	}
	say("%s", out.String())
}

// say prints a line of the benchmark's result: of what is logged, the testing
// package keeps ten lines.
func say(format string, args ...any) { fmt.Printf(strings.TrimSuffix(format, "\n")+"\n", args...) }

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	if len(v)%2 == 0 {
		return (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return v[len(v)/2]
}
