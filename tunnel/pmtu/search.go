// Package pmtu finds how large a packet a path takes, in the manner of RFC 8899
// (packetization layer path MTU discovery for datagrams), so that it works where
// ICMP is filtered. It does no input or output and knows no clock: a [Search]
// is told what happened and says which probes to send.
//
// Probes go in pairs: a large one, then a small one. The small one's
// acknowledgement without the large one's means that the large one was lost, at
// the path's own speed and whatever its round trip; silence to both says
// nothing about sizes. All sizes are those of outer IP packets.
package pmtu

import "time"

const (
	// Floor is the least that is ever used: what every IPv6 link carries (RFC
	// 8200, 5). Nothing that a router says, or a forger in its name, gets below.
	Floor = 1280
	// Ceiling is the most that is tried: the largest frames in use carry 9216.
	Ceiling = 9216

	// maxProbes that are lost in a row mean that the size does not pass (RFC
	// 8899, 5.1.2: MAX_PROBES).
	maxProbes = 3
	// confirmEvery is how long a size is trusted while large packets go out:
	// with the losses above, a path that shrank without a word is noticed
	// before TCP's third retransmission.
	confirmEvery = 500 * time.Millisecond
	// raiseEvery is when larger sizes are tried again (RFC 8899, 5.1.1: PMTU_RAISE_TIMER).
	raiseEvery = 600 * time.Second
	// silence is how long neither of a pair is answered before the next goes
	// out, while the round trip is not known.
	silence = time.Second
	// grace is for a large probe that was overtaken by the small one.
	grace = 30 * time.Millisecond
)

// Never is when nothing is to be done.
const Never = time.Duration(1<<63 - 1)

// phase of a search.
type phase uint8

const (
	dormant phase = iota // nobody answers probes, or there is no path: nothing is sent
	confirm              // does the size in use pass
	climb                // how much more passes
	settled              // confirmed now and then, while in use
)

// Search is the state of one path. [New] makes one.
type Search struct {
	floor, ceiling, first int

	phase    phase
	size     int // in use
	low      int // largest that passed, in a climb
	high     int // smallest that does not pass, as far as known
	hint     int // what a router or the own host said; 0: nothing
	answered bool
	verified bool // size passed
	used     bool // large packets went out since the last confirmation
	lost     int
	silent   int

	out     bool // a pair is under way
	pair    Pair
	sent    time.Duration
	follows bool // its small one was acknowledged
	rtt     time.Duration

	next   time.Duration // when Due is to be called
	proved time.Duration // when size was last acknowledged
	raise  time.Duration
}

// Pair is two probes to send, in this order: one of Size, then the smallest.
type Pair struct {
	ID   uint32
	Size int
}

// New makes a search for a path that is taken to carry first until it is known
// better, and is never taken to carry more than ceiling.
func New(first, ceiling int) Search {
	return Search{floor: min(Floor, ceiling), ceiling: ceiling, first: min(first, ceiling), size: min(first, ceiling), next: Never}
}

// Size is how large packets may be now.
func (s *Search) Size() int { return s.size }

// Verified reports whether a packet of Size has passed.
func (s *Search) Verified() bool { return s.verified }

// Answered reports whether the other end has ever acknowledged a probe.
func (s *Search) Answered() bool { return s.answered }

// Next is when [Search.Due] is to be called; [Never] if not at all.
func (s *Search) Next() time.Duration { return s.next }

// Begin is called when there are new keys: what is not known is asked.
func (s *Search) Begin(now time.Duration) {
	if s.phase == dormant && s.floor < s.ceiling {
		s.high, s.hint = 0, 0
		s.ask(now, confirm)
	}
}

// Move forgets the path, for there is another one.
func (s *Search) Move(now time.Duration) {
	id := s.pair.ID
	*s = New(s.first, s.ceiling)
	s.pair.ID = id
	s.Begin(now)
}

// Use is called when packets longer than [Floor] go out. It reports whether
// [Search.Next] has changed.
func (s *Search) Use(now time.Duration) bool {
	if s.used || s.phase != settled {
		return false
	}
	s.used = true
	next := max(now, s.proved+confirmEvery)
	if s.raise <= next {
		next = max(now, s.raise)
	}
	if next >= s.next {
		return false
	}
	s.next = next
	return true
}

// Suspect is called for a hint that packets are too large that nobody vouches
// for: the size is confirmed at once, and nothing else follows from it.
func (s *Search) Suspect(now time.Duration) {
	if s.phase == settled && !s.out && now >= s.proved+confirmEvery/2 {
		s.used, s.proved = true, now-confirmEvery
		s.next = min(s.next, now)
	}
}

// TooBig is called when a router, or the own host, says that the path takes mtu
// at most. It must be believed before: this lowers the size at once.
func (s *Search) TooBig(now time.Duration, mtu int) {
	mtu = max(mtu, s.floor)
	if s.phase == climb && mtu >= s.low && mtu < s.high-1 {
		s.high, s.hint = mtu+1, mtu
		if s.out && s.pair.Size > mtu {
			s.out, s.lost = false, 0
			s.next = now
		}
		s.end(now)
	}
	if mtu < s.size {
		s.size, s.verified = mtu, false
		s.raise = now + raiseEvery
		if s.phase == dormant {
			s.next = s.raise
			return
		}
		s.high = mtu + 1
		s.ask(now, confirm)
	}
}

// Acked is called for the acknowledgement of a probe of size, 0 for the smaller
// one of a pair.
func (s *Search) Acked(now time.Duration, id uint32, size int) {
	if !s.out || s.pair.ID-id > maxProbes {
		return
	}
	s.answered, s.silent = true, 0
	if id == s.pair.ID {
		s.rtt = now - s.sent
	} else {
		s.rtt = max(s.rtt, silence) // it was not waited for long enough
	}
	if size < s.pair.Size {
		s.follows = true
		s.next = now + max(grace, s.rtt/4)
		return
	}
	if size > s.pair.Size {
		return
	}
	s.out, s.lost = false, 0
	s.next = now
	switch s.phase {
	case confirm, settled:
		s.proved, s.used, s.verified = now, false, true
		if s.phase == settled {
			s.rest()
			return
		}
		s.low = s.size
		if s.high <= s.low {
			s.high = s.ceiling + 1
		}
		s.phase = climb
		s.end(now)
	case climb:
		s.low = size
		s.end(now)
	case dormant:
	}
}

// Due is called at [Search.Next]. ok is false if there is nothing to send. If
// the pair cannot be sent, [Search.Stop] follows.
func (s *Search) Due(now time.Duration) (p Pair, ok bool) {
	if now < s.next {
		return p, false
	}
	if s.out {
		s.out = false
		if s.follows {
			s.miss(now)
		} else if s.silent++; s.silent >= maxProbes {
			s.Stop(now)
		}
	}
	switch s.phase {
	case confirm:
		return s.send(now, s.size), true
	case climb:
		return s.send(now, s.candidate()), true
	case settled:
		if s.used && now >= s.raise {
			// The size in use is known: it was confirmed while it was used.
			s.low, s.high, s.hint, s.phase, s.lost = s.size, s.ceiling+1, 0, climb, 0
			s.raise = now + raiseEvery
			if s.low < s.ceiling {
				return s.send(now, s.candidate()), true
			}
			s.phase = settled
		}
		if s.used && now >= s.proved+confirmEvery {
			return s.send(now, s.size), true
		}
		if s.rest(); s.used {
			s.next = min(s.raise, s.proved+confirmEvery)
		}
	case dormant:
		// Nobody can be asked: what a router said has its time, as in the kernel.
		if s.next = Never; s.size < s.first {
			if now < s.raise {
				s.next = s.raise
			} else {
				s.size = s.first
			}
		}
	}
	return p, false
}

// Stop ends the asking: nobody answers, or nothing can be sent. A path that was
// known stays so, and is confirmed when it is used again.
func (s *Search) Stop(now time.Duration) {
	s.out, s.lost, s.silent = false, 0, 0
	if !s.answered {
		s.phase, s.next = dormant, Never
		if s.size < s.first {
			s.next = s.raise
		}
		return
	}
	// Not at once again, however much is sent: the path may be down.
	s.proved = now + silence - confirmEvery
	if s.phase == climb || !s.verified {
		s.raise = s.proved // the rest of the climb is for when the path is used
		s.size = max(s.size, s.low)
	}
	s.phase, s.used = settled, false
	s.rest()
}

// miss is a large probe that was lost.
func (s *Search) miss(now time.Duration) {
	if s.lost++; s.lost < maxProbes {
		return
	}
	s.lost = 0
	switch s.phase {
	case climb:
		s.high = s.pair.Size
		if s.hint == s.high {
			s.hint = 0
		}
		s.end(now)
	case confirm, settled:
		// What passed before does not pass now: a black hole. The climb that
		// follows the floor's confirmation finds what does.
		if s.size == s.floor {
			s.Stop(now) // there is nothing below
			return
		}
		s.high, s.size, s.verified = s.size, s.floor, false
		s.raise = now + raiseEvery
		s.phase = confirm
	case dormant:
	}
}

// end ends a climb that has found the border. Until then the smaller size stays
// in use, so that the device is not changed at each step.
func (s *Search) end(now time.Duration) {
	if s.high-s.low > 1 {
		return
	}
	s.size, s.verified, s.proved = s.low, true, now
	s.phase, s.used = settled, false
	if s.raise <= now {
		s.raise = now + raiseEvery
	}
	s.rest()
}

// candidate is the next size of a climb: what was hinted at, then everything,
// then halves.
func (s *Search) candidate() int {
	if s.low < s.hint && s.hint < s.high {
		return s.hint
	}
	if s.high == s.ceiling+1 {
		return s.ceiling
	}
	return (s.low + s.high) / 2
}

func (s *Search) ask(now time.Duration, p phase) {
	s.phase, s.out, s.lost, s.silent, s.next = p, false, 0, 0, now
}

func (s *Search) rest() { s.next = Never }

func (s *Search) send(now time.Duration, size int) Pair {
	s.pair = Pair{s.pair.ID + 1, size}
	s.out, s.follows, s.sent = true, false, now
	s.next = now + silence
	if s.rtt > 0 {
		s.next = now + max(silence/4, 4*s.rtt)
	}
	return s.pair
}
