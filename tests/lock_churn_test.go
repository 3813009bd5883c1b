package tests

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	churnOps    = 10_000
	churnSettle = 1_000   // by then all that grows once has grown
	churnMemory = 1 << 10 // KiB of resident memory
	churnEvery  = 250     // between two looks at the guardian
	churnLooks  = 5       // whose median counts, for the collector's work comes and goes
)

// A day's worth of ups, downs, locks, unlocks, interfaces that come, go and flap
// and addresses that change, through one guardian, leaves nothing behind.
func TestTenThousandChangesLeaveNoResidue(t *testing.T) {
	s := newHandScene(t, "")
	s.leaks()
	// A second wire that flaps, with its far end at hand.
	if err := s.lab.Client.Script(s.ctx, `
ip link add w1 type veth peer name w1far
echo 1 > /proc/sys/net/ipv6/conf/w1/disable_ipv6
echo 1 > /proc/sys/net/ipv6/conf/w1far/disable_ipv6
ip link set w1far up
ip link set w1 up
ip addr add 10.77.0.1/24 dev w1
`); err != nil {
		t.Fatal(err)
	}
	s.carries("w1")
	s.before = s.snapshot()
	g := s.watch()
	began := time.Now()
	var r churnReport
	if err := json.Unmarshal([]byte(s.job(s.lab.Client, "churn", strconv.Itoa(g.cmd.Process.Pid), strconv.Itoa(churnOps))), &r); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("%d operations in %v; by kind, how many and how long in all: %v", r.Ops, took.Round(time.Millisecond), r.Kinds)
	t.Logf("guardian by operation, KiB resident and descriptors: %v", r.Samples)
	if want := (churnOps-churnSettle)/churnEvery + 1; r.Ops != churnOps || len(r.Samples) != want {
		t.Fatalf("%d operations and %d looks, want %d and %d", r.Ops, len(r.Samples), churnOps, want)
	}
	first, last := r.Samples[0], r.Samples[len(r.Samples)-1]
	was, is := resident(r.Samples[:churnLooks]), resident(r.Samples[len(r.Samples)-churnLooks:])
	t.Logf("resident at first %d KiB, in the end %d KiB", was, is)
	if is > was+churnMemory {
		t.Errorf("the guardian's resident memory grew from %d to %d KiB", was, is)
	}
	if last.FDs != first.FDs {
		t.Errorf("the guardian's descriptors went from %d to %d", first.FDs, last.FDs)
	}
	if last.Threads > first.Threads+2 { // the runtime makes threads for calls that block
		t.Errorf("the guardian's threads went from %d to %d", first.Threads, last.Threads)
	}
	if last.Files != first.Files {
		t.Errorf("state files grew from\n%s\nto\n%s", first.Files, last.Files)
	}
	if last.Files == "" {
		t.Error("no state file was seen at all")
	}
	s.carries("w1")
	s.original("after it all, guarded")
	// It still does its work.
	s.must(0, upByHand...)
	s.must(0, "lock")
	s.must(0, "status")
	s.closed("after it all")
	s.must(0, "down", "--all")
	s.says("after it all, locked", "locked", 0)
	s.closed("after it all, locked")
	s.must(0, "unlock")
	if err := g.ends(syscall.SIGTERM); err != nil {
		t.Errorf("%v\n%s", err, g.log())
	}
	s.original("after the guardian's end")
}

// carries waits until both ends of a cable have noticed that it carries.
func (s *scene) carries(name string) {
	s.Helper()
	s.until(name+" carries", func() bool {
		for _, end := range []string{name, name + "far"} {
			out, err := s.lab.Client.Run(s.ctx, "ip", "link", "show", end)
			if err != nil {
				s.Fatal(err)
			}
			if !strings.Contains(out, "state UP") {
				return false
			}
		}
		return true
	})
}

// churnReport is what the job says in the end.
type churnReport struct {
	Ops     int
	Kinds   map[string]churnKind
	Samples []churnSample
}

type churnKind struct {
	Count int
	Took  time.Duration
}

func (k churnKind) String() string {
	return strconv.Itoa(k.Count) + " " + k.Took.Round(time.Millisecond).String()
}

// churnSample is the guardian with the host open, after so many operations.
type churnSample struct {
	Op      int
	RSS     int // KiB
	FDs     int
	Threads int
	Files   string // of the state, with their sizes
}

func (c churnSample) String() string {
	return strconv.Itoa(c.Op) + ": " + strconv.Itoa(c.RSS) + " " + strconv.Itoa(c.FDs)
}

// resident is the median of what the samples say of memory, in KiB.
func resident(samples []churnSample) int {
	var list []int
	for _, c := range samples {
		list = append(list, c.RSS)
	}
	slices.Sort(list)
	return list[len(list)/2]
}
