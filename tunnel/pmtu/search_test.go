package pmtu

import (
	"math/rand/v2"
	"testing"
	"time"
)

// path is a simulated one, with a clock that only the test moves.
type path struct {
	t       testing.TB
	s       Search
	now     time.Duration
	mtu     int
	local   int // what the own link takes; 0: all
	icmp    bool
	stock   bool // the other end knows no probes
	down    bool
	rtt     time.Duration
	loss    float64
	traffic bool
	rng     *rand.Rand
	events  []event
	probes  int
	bytes   int
}

type event struct {
	at time.Duration
	do func()
}

func newPath(t testing.TB, first, mtu int) *path {
	return &path{t: t, s: New(first, Ceiling), now: time.Hour, mtu: mtu, rtt: 20 * time.Millisecond, rng: rand.New(rand.NewPCG(1, 2))}
}

func (p *path) after(d time.Duration, do func()) { p.events = append(p.events, event{p.now + d, do}) }

func (p *path) carry(id uint32, size, told int) {
	p.probes++
	p.bytes += size
	switch {
	case p.local > 0 && size > p.local:
		p.after(0, func() { p.s.TooBig(p.now, p.local) })
	case p.down || p.rng.Float64() < p.loss:
	case size > p.mtu:
		if mtu := p.mtu; p.icmp {
			p.after(p.rtt/2, func() { p.s.TooBig(p.now, mtu) })
		}
	case !p.stock && p.rng.Float64() >= p.loss:
		p.after(p.rtt, func() { p.s.Acked(p.now, id, told) })
	}
}

// pass lets time go by. It fails if the search asks for the same moment for ever.
func (p *path) pass(d time.Duration) {
	p.t.Helper()
	end := p.now + d
	for steps := 0; ; steps++ {
		if steps > 200000 {
			p.t.Fatalf("never comes to rest: %+v", p.s)
		}
		if p.traffic {
			p.s.Use(p.now)
		}
		next := min(end, p.s.Next())
		for _, e := range p.events {
			next = min(next, e.at)
		}
		p.now = max(p.now, next)
		due := -1
		for i, e := range p.events {
			if e.at <= p.now && (due < 0 || e.at < p.events[due].at) {
				due = i
			}
		}
		if due >= 0 {
			e := p.events[due]
			p.events = append(p.events[:due], p.events[due+1:]...)
			e.do()
		} else if pair, ok := p.s.Due(p.now); ok {
			p.carry(pair.ID, pair.Size, pair.Size)
			p.carry(pair.ID, 76, 0)
		}
		if size := p.s.Size(); size < min(Floor, p.s.ceiling) || size > p.s.ceiling {
			p.t.Fatalf("size %d: %+v", size, p.s)
		}
		if p.now >= end && p.s.Next() > p.now {
			return
		}
	}
}

func TestSearchFindsWhatThePathTakes(t *testing.T) {
	for _, mtu := range []int{1280, 1281, 1380, 1479, 1480, 1481, 1492, 1500, 8999, 9000, 9216, 20000} {
		for _, c := range []struct {
			name        string
			icmp        bool
			local, want int
			within      time.Duration
		}{
			{"with ICMP", true, 0, mtu, time.Second},
			{"without ICMP", false, 0, mtu, 5 * time.Second},
			{"and a local link of 1500", false, 1500, min(mtu, 1500), 3 * time.Second},
		} {
			p := newPath(t, 1480, mtu)
			p.icmp, p.local = c.icmp, c.local
			p.s.Begin(p.now)
			p.pass(c.within)
			if want := min(c.want, Ceiling); p.s.Size() != want || !p.s.Verified() || p.s.Next() != Never {
				t.Errorf("%d %s: %d (verified %v), want %d: %+v", mtu, c.name, p.s.Size(), p.s.Verified(), want, p.s)
			}
			if p.probes > 100 {
				t.Errorf("%d %s: %d probes", mtu, c.name, p.probes)
			}
		}
	}
}

func TestSearchNoticesWithinMomentsThatThePathShrank(t *testing.T) {
	for _, icmp := range []bool{true, false} {
		p := newPath(t, 1480, 9000)
		p.icmp, p.traffic = icmp, true
		p.s.Begin(p.now)
		p.pass(5 * time.Second)
		for _, mtu := range []int{1500, 1380, 1280} {
			p.mtu = mtu
			if icmp { // data packets cause it, as probes would
				p.after(p.rtt, func() { p.s.TooBig(p.now, mtu) })
			}
			p.pass(950 * time.Millisecond)
			if p.s.Size() > mtu {
				t.Errorf("ICMP %v: still %d on a path of %d", icmp, p.s.Size(), mtu)
			}
			p.pass(4 * time.Second)
			if p.s.Size() != mtu {
				t.Errorf("ICMP %v: %d on a path of %d: %+v", icmp, p.s.Size(), mtu, p.s)
			}
		}
		p.mtu = 9000
		p.pass(raiseEvery - 20*time.Second)
		if p.s.Size() != 1280 {
			t.Errorf("raised to %d before its time", p.s.Size())
		}
		p.pass(25 * time.Second)
		if p.s.Size() != 9000 {
			t.Errorf("not raised: %d", p.s.Size())
		}
	}
}

func TestSearchIsSilentWhenNothingIsSent(t *testing.T) {
	p := newPath(t, 1480, 1500)
	p.s.Begin(p.now)
	p.pass(5 * time.Second)
	before := p.probes
	p.pass(24 * time.Hour)
	if p.probes != before {
		t.Errorf("%d probes on an idle path", p.probes-before)
	}
	p.traffic = true
	p.pass(10 * time.Second)
	if n := p.probes - before; n < 30 || n > 150 { // and one climb, whose time has come
		t.Errorf("%d probes in 10 s of traffic", n)
	}
}

func TestSearchLeavesAPeerAloneThatKnowsNoProbes(t *testing.T) {
	p := newPath(t, 1480, 1400)
	p.stock, p.traffic = true, true
	p.s.Begin(p.now)
	p.pass(time.Minute)
	if p.probes != 2*maxProbes || p.s.Size() != 1480 || p.s.Answered() {
		t.Errorf("%d probes, size %d", p.probes, p.s.Size())
	}
	p.s.TooBig(p.now, 1400)
	if p.s.Size() != 1400 {
		t.Errorf("what a router says is not heard: %d", p.s.Size())
	}
	p.s.Begin(p.now) // new keys
	p.pass(raiseEvery - time.Second)
	if p.s.Size() != 1400 || p.probes != 4*maxProbes {
		t.Errorf("size %d, %d probes", p.s.Size(), p.probes)
	}
	p.pass(2 * time.Second)
	if p.s.Size() != 1480 {
		t.Errorf("what a router said is never forgotten: %d", p.s.Size())
	}
}

func TestSearchKeepsItsSizeWhileThePathIsDown(t *testing.T) {
	p := newPath(t, 1480, 9000)
	p.traffic = true
	p.s.Begin(p.now)
	p.pass(5 * time.Second)
	p.down = true
	before := p.probes
	p.pass(time.Minute)
	if p.s.Size() != 9000 {
		t.Errorf("silence made it %d", p.s.Size())
	}
	if n := p.probes - before; n > 250 {
		t.Errorf("%d probes into silence", n)
	}
	p.down, p.mtu = false, 1380
	p.pass(10 * time.Second)
	if p.s.Size() != 1380 {
		t.Errorf("%d after it came back with 1380", p.s.Size())
	}
}

func TestSearchNeverGoesBelowTheFloor(t *testing.T) {
	p := newPath(t, 1480, 1500)
	p.s.Begin(p.now)
	p.pass(5 * time.Second)
	for _, lie := range []int{-1, 0, 68, 576, 1279} {
		p.s.TooBig(p.now, lie)
		if p.s.Size() != Floor {
			t.Errorf("%d made it %d", lie, p.s.Size())
		}
	}
	if s := New(1000, 1000); s.Size() != 1000 {
		t.Errorf("a ceiling below the floor: %d", s.Size())
	} else if s.Begin(0); s.Next() != Never {
		t.Error("there is nothing to search for below the floor")
	}
	q := newPath(t, 1480, 1000) // not even the floor passes
	q.s.Begin(q.now)
	q.traffic = true
	q.pass(time.Minute)
	if q.s.Size() != Floor || q.probes > 2000 {
		t.Errorf("size %d, %d probes", q.s.Size(), q.probes)
	}
}

func TestSearchWorksOnASlowAndLossyPath(t *testing.T) {
	for _, rtt := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond} {
		for seed := range uint64(20) {
			p := newPath(t, 1480, 1400)
			p.rng, p.rtt, p.loss, p.traffic = rand.New(rand.NewPCG(seed, 3)), rtt, 0.02, true
			p.s.Begin(p.now)
			p.pass(2*time.Second + 60*rtt)
			if p.s.Size() < 1360 || p.s.Size() > 1400 {
				t.Errorf("round trip %v, seed %d: %d on a path of 1400", rtt, seed, p.s.Size())
			}
		}
	}
}

// Whatever happens, in whatever order: the search comes to rest, stays within
// its bounds, and when all is quiet again it ends with what passes.
func TestSearchSurvivesAnything(t *testing.T) {
	for seed := range uint64(300) {
		p := newPath(t, 1480, 1500)
		p.rng = rand.New(rand.NewPCG(seed, 7))
		p.traffic = true
		for range 60 {
			switch p.rng.IntN(9) {
			case 0:
				p.mtu = Floor + p.rng.IntN(8000)
			case 1:
				p.icmp = !p.icmp
			case 2:
				p.down = !p.down
			case 3:
				p.loss = float64(p.rng.IntN(4)) / 10
			case 4:
				p.s.TooBig(p.now, p.rng.IntN(10000))
			case 5:
				p.s.Move(p.now)
			case 6:
				p.s.Begin(p.now)
			case 7:
				p.s.Acked(p.now, p.rng.Uint32N(50), p.rng.IntN(10000))
				p.s.Suspect(p.now)
			case 8:
				p.s.Stop(p.now)
			}
			p.pass(time.Duration(p.rng.IntN(int(2 * time.Second))))
		}
		p.down, p.loss, p.icmp, p.rtt = false, 0, false, 20*time.Millisecond
		for range 2 { // the first may find a pair under way that was lost
			p.s.Begin(p.now)
			p.pass(10 * time.Second)
		}
		if p.s.Size() > p.mtu {
			t.Errorf("seed %d: %d on a path of %d: %+v", seed, p.s.Size(), p.mtu, p.s)
		}
		p.pass(raiseEvery + 10*time.Second)
		if want := min(p.mtu, Ceiling); p.s.Size() != want {
			t.Errorf("seed %d: %d on a path of %d: %+v", seed, p.s.Size(), want, p.s)
		}
	}
}

func TestProbeIsNoPacketOfIP(t *testing.T) {
	buf := make([]byte, 2000)
	for _, m := range []Message{{false, 7, 1400}, {true, 7, 1400}, {false, 1 << 31, MessageSize}} {
		b := m.Put(buf)
		if v := b[0] >> 4; v == 4 || v == 6 {
			t.Errorf("%+v looks like IPv%d", m, v)
		}
		if got, ok := Parse(b); !ok || got != m {
			t.Errorf("%+v came back as %+v, %v", m, got, ok)
		}
		for n := range MessageSize {
			if _, ok := Parse(b[:n]); ok {
				t.Errorf("%+v cut to %d bytes", m, n)
			}
		}
		if _, ok := Parse(append(b[:len(b):len(b)], 0)); ok {
			t.Errorf("%+v with a byte more", m)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Message{Size: 20}.Put(make([]byte, 20)))
	f.Add(Message{Ack: true, Size: 20}.Put(make([]byte, 20)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, ok := Parse(b); ok && (m.Ack && len(b) != MessageSize || !m.Ack && m.Size != len(b)) {
			t.Errorf("%x is %+v", b, m)
		}
	})
}
