package blocked

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// slots are the parts of a window that are counted apart, so that counts leave
// it bit by bit.
const slots = 8

// Aggregate counts events of the last time window by rule, who tried and what
// for. Its memory is bounded whatever comes: beyond a number of kinds all others
// are counted together. It is safe for concurrent use.
type Aggregate struct {
	limit  int
	width  time.Duration // of a slot
	now    func() time.Time
	mu     sync.Mutex
	kinds  map[kind]*entry
	inward int // of them
	others counts
	lost   counts
	latest int64 // slot
	forgot int64 // slot in which kinds were last dropped
}

// kind is what events have in common that are counted together.
type kind struct {
	rule, program, protocol string
	uid                     int64 // -1: none
	dst                     netip.Addr
	port                    uint16
	inward                  bool
}

type entry struct {
	counts
	first, last time.Time
}

// Entry is a number of events of one kind.
type Entry struct {
	Rule     string     `json:"rule"`
	Program  string     `json:"program"`
	UID      *uint32    `json:"uid"` // nil: without a socket
	Dst      netip.Addr `json:"dst"`
	DstPort  uint16     `json:"dst_port"`
	Protocol string     `json:"protocol"`
	Count    uint64     `json:"count"` // in the window
	First    time.Time  `json:"first"` // may be before the window, if there was never a window without one
	Last     time.Time  `json:"last"`
}

// Summary is what an Aggregate holds.
type Summary struct {
	Entries []Entry // the most frequent first
	Others  uint64  // events in the window that no entry counts
	Lost    uint64  // events in the window that the kernel had no room for
}

// NewAggregate keeps at most limit kinds, at least 2, of the last window. Half
// of them at most are of packets from outside, so that somebody who knocks at
// every port hides nothing that programs of this host do.
func NewAggregate(limit int, window time.Duration) *Aggregate {
	return &Aggregate{limit: max(limit, 2), width: max(window/slots, 1), now: time.Now, kinds: map[kind]*entry{}}
}

// Add counts an event.
func (a *Aggregate) Add(e Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	at := a.slot(now)
	if e.Lost > 0 {
		a.lost.add(at, e.Lost)
	}
	k := kind{rule: e.Rule, program: e.Program, protocol: e.Protocol(), uid: -1, dst: e.Dst, port: e.DstPort,
		inward: e.Hook == "prerouting" || e.Hook == "input"}
	if e.UID != nil {
		k.uid = int64(*e.UID)
	}
	known, ok := a.kinds[k]
	if !ok {
		if !a.room(k, at) {
			a.others.add(at, 1)
			return
		}
		known = &entry{first: now}
		a.kinds[k] = known
		if k.inward {
			a.inward++
		}
	}
	known.add(at, 1)
	known.last = now
}

// Snapshot is what the last window had.
func (a *Aggregate) Snapshot() Summary {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.slot(a.now())
	a.forget(at)
	s := Summary{Others: a.others.sum(at), Lost: a.lost.sum(at)}
	for k, known := range a.kinds {
		e := Entry{Rule: k.rule, Program: k.program, Protocol: k.protocol, Dst: k.dst, DstPort: k.port,
			Count: known.sum(at), First: known.first, Last: known.last}
		if k.uid >= 0 {
			uid := uint32(k.uid)
			e.UID = &uid
		}
		s.Entries = append(s.Entries, e)
	}
	slices.SortFunc(s.Entries, func(x, y Entry) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), y.Last.Compare(x.Last), cmp.Compare(x.Rule, y.Rule),
			x.Dst.Compare(y.Dst), cmp.Compare(x.DstPort, y.DstPort), cmp.Compare(x.Program, y.Program))
	})
	return s
}

// room reports whether another kind may be kept, and makes room at most once a
// slot, so that a flood of kinds costs no walk over all of them each time.
func (a *Aggregate) room(k kind, at int64) bool {
	fits := func() bool { return len(a.kinds) < a.limit && !(k.inward && a.inward >= a.limit/2) }
	if !fits() && a.forgot != at {
		a.forget(at)
	}
	return fits()
}

// forget drops the kinds that the window has none of any more.
func (a *Aggregate) forget(at int64) {
	a.forgot = at
	for k, known := range a.kinds {
		if known.sum(at) == 0 {
			delete(a.kinds, k)
			if k.inward {
				a.inward--
			}
		}
	}
}

// slot numbers the time's slot. It never goes back, whatever the clock does.
func (a *Aggregate) slot(now time.Time) int64 {
	a.latest = max(a.latest, now.UnixNano()/int64(a.width))
	return a.latest
}

// counts are those of the last slots.
type counts struct {
	n  [slots]uint64
	at int64 // the slot counted last
}

func (c *counts) add(at int64, n uint64) {
	c.turn(at)
	c.n[at%slots] += n
}

func (c *counts) sum(at int64) (sum uint64) {
	c.turn(at)
	for _, n := range c.n {
		sum += n
	}
	return sum
}

// turn empties the slots that left the window.
func (c *counts) turn(at int64) {
	for passed := max(c.at+1, at-slots+1); passed <= at; passed++ {
		c.n[passed%slots] = 0
	}
	c.at = max(c.at, at)
}
