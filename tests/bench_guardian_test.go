package tests

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	healRounds = 101
	restTime   = 20 * time.Second
)

var tookText = regexp.MustCompile(`msg=healed why=ruleset .*took=(\S+)`)

// BenchmarkGuardian measures a guardian at rest, and how soon it closes a host
// whose tables it does not own and somebody flushed.
func BenchmarkGuardian(b *testing.B) {
	s := newSceneFor(b, "", 5*time.Minute)
	s.must(0, "lock", "--endpoint", "203.0.113.10:1194/udp")
	g := s.watch("--share")
	pid := s.guardian().PID
	for b.Loop() {
		start := cpuTicks(b, pid)
		time.Sleep(restTime)
		ticks := cpuTicks(b, pid) - start
		b.Logf("at rest for %v: %d ticks of 10 ms, resident %.1f MiB", restTime, ticks, float64(residentKiB(b, pid))/1024)
		b.ReportMetric(float64(ticks)/100/restTime.Seconds()*100, "cpu-percent")
		once := func() {
			_, err := s.lab.Client.Run(s.ctx, "nft", "flush", "ruleset")
			must(b, err)
		}
		b.ReportMetric(float64(s.healTimes(b, g, "a program that ends at once", once).Microseconds())/1000, "heal-ending-ms")
		b.ReportMetric(float64(s.healTimes(b, g, "a program that stays", s.staying(b)).Microseconds())/1000, "heal-ms")
		b.Logf("resident at most %.1f MiB", float64(residentKiB(b, pid))/1024)
		b.ReportMetric(float64(residentKiB(b, pid))/1024, "MiB")
	}
}

// staying flushes by one nft that goes on. The kernel lets nobody commit while
// the socket of one that ends waits for what it deleted to be freed, some ten
// milliseconds, so a program that ends at once holds the repair up.
func (s *scene) staying(b *testing.B) func() {
	cmd := s.lab.Client.Command(s.ctx, "nft", "-i")
	in, err := cmd.StdinPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return func() {
		_, err := io.WriteString(in, "flush ruleset\n")
		must(b, err)
	}
}

// healTimes is the median time to heal.
func (s *scene) healTimes(b *testing.B, g *guardianProcess, who string, flush func()) time.Duration {
	b.Helper()
	from := len(g.log())
	for i := range healRounds {
		flush()
		s.until("it is healed", func() bool { return strings.Count(g.log()[from:], "msg=healed") > i })
		time.Sleep(50 * time.Millisecond) // the kernel frees what was flushed meanwhile
	}
	var took []time.Duration
	for _, m := range tookText.FindAllStringSubmatch(g.log()[from:], -1) {
		d, err := time.ParseDuration(m[1])
		must(b, err)
		took = append(took, d)
	}
	if len(took) < healRounds/2 {
		b.Fatalf("%d heals of %d were timed\n%s", len(took), healRounds, g.log())
	}
	slices.Sort(took)
	b.Logf("heal after `nft flush ruleset` by %s: median %v, maximum %v of %d", who, took[len(took)/2], took[len(took)-1], len(took))
	return took[len(took)/2]
}

// cpuTicks is the processor time of a process, in clock ticks (proc(5)).
func cpuTicks(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	field := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+2:]))
	user, err := strconv.Atoi(field[14-3])
	must(t, err)
	system, err := strconv.Atoi(field[15-3])
	must(t, err)
	return user + system
}
