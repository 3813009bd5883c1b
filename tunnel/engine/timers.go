package engine

import (
	"container/heap"
	"math"
	"time"
)

// timer is one of a peer's six.
type timer uint8

const (
	retransmit timer = iota // an initiation was not answered
	keepalive               // data came and nothing went back
	silence                 // data went out and nothing came back
	erase                   // keys have ended
	persistent              // the user wants the path kept open
	probe                   // the path is to be asked what it takes
	timers
)

// never is the time of a timer that is off.
const never = time.Duration(math.MaxInt64)

// arm sets a timer. Only an earlier end than all others moves the peer in the
// heap: a packet that puts a timer off costs a store.
func (p *Peer) arm(t timer, at time.Duration) {
	p.at[t] = at
	if at < p.wake {
		p.wake = at
		heap.Fix(&p.e.wakes, p.place)
	}
}

func (p *Peer) disarm(t timer) { p.at[t] = never }

// wakes is a heap of peers by the time at which they want to be looked at,
// which may be too early but never too late.
type wakes []*Peer

func (w wakes) Len() int           { return len(w) }
func (w wakes) Less(i, j int) bool { return w[i].wake < w[j].wake }
func (w wakes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].place, w[j].place = i, j
}
func (w *wakes) Push(x any) {
	p := x.(*Peer)
	p.place = len(*w)
	*w = append(*w, p)
}
func (w *wakes) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}

// Next returns when [Engine.Tick] must be called, and false if never.
func (e *Engine) Next() (time.Duration, bool) {
	if len(e.wakes) == 0 || e.wakes[0].wake == never {
		return 0, false
	}
	return e.wakes[0].wake, true
}

// Tick does what is due.
func (e *Engine) Tick(now time.Duration) {
	for len(e.wakes) > 0 && e.wakes[0].wake <= now {
		p := e.wakes[0]
		for t := range timers {
			if p.at[t] <= now {
				p.at[t] = never
				p.fire(now, t)
			}
		}
		p.wake = never
		for _, at := range p.at {
			p.wake = min(p.wake, at)
		}
		heap.Fix(&e.wakes, p.place)
	}
}

func (p *Peer) fire(now time.Duration, t timer) {
	switch t {
	case retransmit:
		p.unanswered++
		if p.e.config.Unanswered != nil {
			p.e.config.Unanswered(p.public, p.unanswered)
		}
		if p.attempts >= maxAttempts {
			p.giveUp(now)
			return
		}
		p.attempts++
		p.initiate(now, true)
	case keepalive:
		p.sendKeepalive(now)
		if p.another {
			p.another = false
			p.arm(keepalive, now+keepaliveTimeout)
		}
	case silence:
		p.initiate(now, false)
	case erase:
		p.dropSessions()
	case persistent:
		p.arm(persistent, now+p.interval)
		p.sendKeepalive(now)
	case probe:
		p.search(now)
	case timers:
	}
}

// giveUp stops asking until there is something to send again.
func (p *Peer) giveUp(now time.Duration) {
	p.dropHandshake()
	p.dropStaged()
	p.disarm(keepalive)
	if p.at[erase] == never {
		p.arm(erase, now+eraseAfter)
	}
}

// sent is called for every authenticated message that goes out.
func (p *Peer) sent(now time.Duration, data bool) {
	p.disarm(keepalive)
	if data && p.at[silence] == never {
		p.arm(silence, now+keepaliveTimeout+rekeyTimeout+p.e.jitter())
	}
	p.passed(now)
}

// received is called for every authenticated message that comes in.
func (p *Peer) received(now time.Duration, data bool) {
	p.disarm(silence)
	if data {
		if p.at[keepalive] == never {
			p.arm(keepalive, now+keepaliveTimeout)
		} else {
			p.another = true
		}
	}
	p.passed(now)
}

func (p *Peer) passed(now time.Duration) {
	if p.interval > 0 {
		p.arm(persistent, now+p.interval)
	}
}
