package tests

import (
	"slices"
	"strings"
	"testing"
)

// Each kill is followed by three ways on: `recover`, the same `up` again and
// `down`, and `down` alone.
func TestUpKilledAnywhereLeavesTheHostUntouchedOrClosed(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	s.leaks()
	points := s.learn(upByHand...)
	s.must(0, "down")
	s.original("after a whole run")
	effects(t, points, "state.save", "nft.commit", "sysctl.write")
	recorded, closed := s.place(points, "state.save.after-rename", 1), s.place(points, "nft.commit.after", 1)
	settled := s.place(points, "state.save.after-rename", 2)
	for i, at := range points {
		when := "up killed at " + at.String()
		s.kill(at, upByHand...)
		switch {
		case i < recorded:
			s.says(when, "open", 0)
		case i < settled:
			s.says(when, "blocked", 3)
		default:
			s.says(when, "sealed", 0)
		}
		if i < closed {
			s.untouched(when)
		} else {
			s.closed(when)
		}
		s.recovered(when)

		s.kill(at, upByHand...)
		s.must(0, upByHand...)
		s.says(when+", and up again", "sealed", 0)
		if i == closed || i == recorded {
			s.closed(when + ", and up again")
		}
		s.must(0, "down")
		s.original(when + ", up again and down")

		s.kill(at, upByHand...)
		s.must(0, "down")
		s.original(when + " and down")
	}
	t.Logf("%d points, each killed three times: %d before the rules were in force, %d after", len(points), closed, len(points)-closed)
}

func TestUpdateKilledAnywhereStaysClosed(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	s.leaks()
	update := append(slices.Clone(upByHand), "--endpoint", "203.0.113.11:1194/udp")
	s.must(0, upByHand...)
	points := s.learn(update...)
	s.must(0, "down")
	effects(t, points, "state.save", "nft.commit")
	for _, at := range points {
		when := "a second up killed at " + at.String()
		s.must(0, upByHand...)
		s.kill(at, update...)
		s.closed(when)
		s.recovered(when)

		s.must(0, upByHand...)
		s.kill(at, update...)
		s.must(0, update...)
		s.says(when+", and again", "sealed", 0)
		s.must(0, "down")
		s.original(when + ", again and down")
	}
}

func TestDownKilledAnywhereIsClosedUntilTheRulesGo(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	s.leaks()
	s.must(0, upByHand...)
	points := s.learn("down")
	s.original("after a whole run")
	effects(t, points, "state.save", "sysctl.write", "nft.commit", "state.remove")
	recorded, opened := s.place(points, "state.save.after-rename", 1), s.place(points, "nft.commit.after", 1)
	forgotten := s.place(points, "state.remove.after", 1)
	for i, at := range points {
		when := "down killed at " + at.String()
		s.must(0, upByHand...)
		s.kill(at, "down")
		switch {
		case i < recorded:
			s.says(when, "sealed", 0)
		case i < forgotten:
			s.says(when, "blocked", 3)
		default:
			s.says(when, "open", 0)
		}
		if i < opened {
			s.closed(when)
		} else {
			s.untouched(when) // the user asked for it
		}
		s.recovered(when)

		s.must(0, upByHand...)
		s.kill(at, "down")
		s.must(0, "down")
		s.original(when + ", and down again")

		s.must(0, upByHand...)
		s.kill(at, "down")
		s.must(0, upByHand...)
		s.says(when+", and up again", "sealed", 0)
		s.must(0, "down")
		s.original(when + ", up and down again")
	}
	t.Logf("%d points, each killed three times: %d before the rules were gone, %d after", len(points), opened, len(points)-opened)
}

// `recover` itself is driven from the worst place: half of the knobs turned.
func TestRecoverKilledAnywhereIsClosedUntilTheRulesGo(t *testing.T) {
	t.Parallel()
	s := newFaultScene(t)
	s.leaks()
	half := point{"sysctl.write.after", 5}
	s.kill(half, upByHand...)
	points := s.learn("recover")
	s.original("after a whole run")
	effects(t, points, "state.save", "sysctl.write", "nft.commit", "state.remove")
	opened := s.place(points, "nft.commit.after", 1)
	for i, at := range points {
		when := "recover killed at " + at.String()
		s.kill(half, upByHand...)
		s.kill(at, "recover")
		if i < opened {
			s.closed(when)
		} else {
			s.untouched(when)
		}
		s.recovered(when)
	}
}

// effects demands a point before and after each kind of effect.
func effects(t *testing.T, points []point, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		for _, side := range []string{".before", ".after"} {
			if !slices.ContainsFunc(points, func(p point) bool { return strings.HasPrefix(p.name, kind+side) }) {
				t.Errorf("the run passes no point %s%s: %v", kind, side, points)
			}
		}
	}
}

// recovered demands that `recover` gives everything back, and that a second
// one is harmless.
func (s *faultScene) recovered(when string) {
	s.Helper()
	s.must(0, "recover")
	s.original(when + " and recovered")
	s.says(when+" and recovered", "open", 0)
	s.must(0, "recover")
	s.original(when + " and recovered twice")
}
