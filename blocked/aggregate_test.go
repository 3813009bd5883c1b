package blocked

import (
	"net/netip"
	"testing"
	"time"
)

// at is an aggregate with a clock that the test turns.
func at(limit int, window time.Duration) (*Aggregate, *time.Time) {
	now := time.Unix(1_700_000_000, 0)
	a := NewAggregate(limit, window)
	a.now = func() time.Time { return now }
	return a, &now
}

func tried(uid uint32, port uint16) Event {
	return Event{Rule: "out-end", Hook: "output", EtherType: etherIPv4, Proto: protoUDP, Dst: netip.AddrFrom4([4]byte{8, 8, 8, 8}), DstPort: port, UID: &uid, Program: "/bin/x"}
}

func TestAggregateCountsWhatIsAlike(t *testing.T) {
	a, now := at(10, 8*time.Minute)
	start := *now
	for i := range 7 {
		*now = start.Add(time.Duration(i) * time.Second)
		e := tried(1000, 53)
		e.SrcPort, e.PID = uint16(i), i // of no importance
		a.Add(e)
	}
	a.Add(tried(0, 53))
	a.Add(tried(0, 443))
	without := tried(0, 53)
	without.UID = nil
	a.Add(without)
	s := a.Snapshot()
	if len(s.Entries) != 4 || s.Others != 0 || s.Lost != 0 {
		t.Fatalf("%+v", s)
	}
	first := s.Entries[0]
	if first.Count != 7 || first.UID == nil || *first.UID != 1000 || first.DstPort != 53 || first.Program != "/bin/x" || first.Protocol != "udp" ||
		!first.First.Equal(start) || !first.Last.Equal(start.Add(6*time.Second)) {
		t.Errorf("the most frequent: %+v", first)
	}
	none := 0
	for _, e := range s.Entries {
		if e.UID == nil {
			none++
		}
	}
	if none != 1 {
		t.Errorf("%d entries have no uid", none)
	}
}

func TestAggregateForgetsWhatLeavesTheWindow(t *testing.T) {
	a, now := at(10, 8*time.Minute)
	a.Add(tried(1, 53))
	*now = now.Add(5 * time.Minute)
	a.Add(tried(1, 53))
	lost := tried(2, 53)
	lost.Lost = 9
	a.Add(lost)
	if s := a.Snapshot(); len(s.Entries) != 2 || s.Entries[0].Count != 2 || s.Lost != 9 {
		t.Errorf("within the window: %+v", s)
	}
	*now = now.Add(5 * time.Minute)
	if s := a.Snapshot(); len(s.Entries) != 2 || s.Entries[0].Count != 1 || s.Entries[1].Count != 1 {
		t.Errorf("after the first has left it: %+v", s)
	}
	*now = now.Add(-time.Hour) // a clock that is set back loses nothing
	if s := a.Snapshot(); len(s.Entries) != 2 {
		t.Errorf("after the clock was set back: %+v", s)
	}
	*now = now.Add(48 * time.Hour)
	if s := a.Snapshot(); len(s.Entries) != 0 || s.Others != 0 || s.Lost != 0 || len(a.kinds) != 0 {
		t.Errorf("after two days: %+v", s)
	}
}

func TestAggregateIsBoundedAndLosesNoCount(t *testing.T) {
	a, now := at(100, time.Minute)
	const events = 200_000
	for i := range events {
		a.Add(tried(uint32(i), uint16(i%65536)))
	}
	s := a.Snapshot()
	sum := s.Others
	for _, e := range s.Entries {
		sum += e.Count
	}
	if len(s.Entries) != 100 || len(a.kinds) != 100 || sum != events {
		t.Errorf("%d entries, %d kinds, %d events of %d", len(s.Entries), len(a.kinds), sum, events)
	}
	*now = now.Add(2 * time.Minute)
	a.Add(tried(1, 1))
	if s := a.Snapshot(); len(s.Entries) != 1 || s.Others != 0 {
		t.Errorf("a window later: %+v", s)
	}
}

func TestKnockingAtEveryPortHidesNothingOfThisHost(t *testing.T) {
	a, now := at(100, time.Minute)
	knock := func() {
		for port := range 60000 {
			a.Add(Event{Rule: "in-end", Hook: "input", EtherType: etherIPv4, Proto: protoTCP, Dst: netip.AddrFrom4([4]byte{192, 0, 2, 1}), DstPort: uint16(port)})
		}
	}
	knock()
	for uid := range 50 {
		a.Add(tried(uint32(uid), 53))
	}
	own := func() (n int) {
		for _, e := range a.Snapshot().Entries {
			if e.Rule == "out-end" {
				n++
			}
		}
		return n
	}
	if n := own(); n != 50 {
		t.Errorf("%d of 50 are there", n)
	}
	*now = now.Add(2 * time.Minute)
	knock()
	if len(a.Snapshot().Entries) != 50 {
		t.Errorf("after a window: %d entries", len(a.Snapshot().Entries))
	}
}

func BenchmarkAggregateFlood(b *testing.B) {
	a := NewAggregate(256, time.Minute)
	for i := 0; b.Loop(); i++ {
		a.Add(tried(uint32(i), uint16(i)))
	}
}
