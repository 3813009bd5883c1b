package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A Shot is one try as it was made.
type Shot struct {
	Receipt probe.Receipt
	Started time.Time
	Ended   time.Time
	Error   string `json:",omitempty"` // it could not be tried
}

// Shooter makes tries in a process of its own that a user owns. Where the machine
// has root alone, the receipts say so.
type Shooter interface {
	Shoot(ctx context.Context, uid uint32, orders []probe.Order) ([]Shot, error)
}

// Fire makes tries in this process, all at once.
func Fire(orders []probe.Order) []Shot {
	shots := make([]Shot, len(orders))
	var all sync.WaitGroup
	for i, o := range orders {
		all.Go(func() {
			s := Shot{Started: time.Now()}
			var err error
			if s.Receipt, err = probe.Run(o); err != nil {
				s.Error = err.Error()
			}
			s.Ended = time.Now()
			shots[i] = s
		})
	}
	all.Wait()
	return shots
}

// Observed is one phase: what was tried and what was seen.
type Observed struct {
	Started, Ended time.Time
	Shots          []Shot // in the plan's order
	Captures       []evidence.Capture
	Frames         [][]wire.Frame // of each capture, which are not in its JSON
	Checks         []evidence.Check
	Error          string `json:",omitempty"`
}

// Times of a phase.
const (
	canaryCount = 3
	// late is how long frames may come after the last probe; a reply of the kernel
	// takes less than a millisecond, a retransmission 200.
	late = 300 * time.Millisecond
)

// Waits are how long others may take, at most.
type Waits struct {
	Canary time.Duration // to come back, and a peer to say what it lost
	Peer   time.Duration // to capture; behind SSH, some seconds
	Tunnel time.Duration // to answer
}

// waitsFor divides the time of an audit.
func waitsFor(limit time.Duration) Waits {
	return Waits{Canary: limit / 6, Peer: limit * 4 / 9, Tunnel: limit * 2 / 9}
}

// observe makes the tries between canaries while the ends capture.
func observe(ctx context.Context, p Plan, links []Link, ends []*end, s Shooter, during func(context.Context) []evidence.Check, watch time.Duration, w Waits) Observed {
	o := Observed{Started: time.Now()}
	for _, e := range ends {
		e.start()
	}
	for _, e := range ends {
		if p, ok := e.from.(*Peer); ok {
			p.await(ctx, w.Peer)
		}
	}
	watched := time.Now()
	canaries(ctx, w, links, ends, evidence.AtStart)
	var checked sync.WaitGroup
	checked.Go(func() { o.Checks = during(ctx) })
	between := make(chan struct{})
	go func() {
		defer close(between)
		canaries(ctx, w, links, ends, evidence.Between)
	}()
	var err error
	o.Shots, err = shoot(ctx, p, s)
	<-between
	checked.Wait()
	rest := max(late, watch-time.Since(watched))
	select {
	case <-time.After(rest):
	case <-ctx.Done():
		err = errors.Join(err, context.Cause(ctx))
	}
	canaries(ctx, w, links, ends, evidence.AtEnd)
	for _, e := range ends {
		e.finish(ctx, w)
	}
	o.Ended = time.Now()
	for _, e := range ends {
		c := e.capture()
		o.Captures, o.Frames = append(o.Captures, c), append(o.Frames, c.Frames)
	}
	if err != nil {
		o.Error = err.Error()
	}
	return o
}

// shoot makes all tries, ordinary users' and root's side by side.
func shoot(ctx context.Context, p Plan, s Shooter) ([]Shot, error) {
	shots := make([]Shot, len(p.Tries))
	var errs [2]error
	var both sync.WaitGroup
	for i, uid := range []uint32{p.User, root} {
		var orders []probe.Order
		var place []int
		for j, t := range p.Tries {
			if t.Privileged == (uid == root) {
				orders, place = append(orders, t.Order), append(place, j)
			}
		}
		if len(orders) == 0 {
			continue
		}
		both.Go(func() {
			got, err := s.Shoot(ctx, uid, orders)
			if err == nil && len(got) != len(orders) {
				err = fmt.Errorf("%d of %d probes were made", len(got), len(orders))
			}
			for k := range min(len(got), len(orders)) {
				shots[place[k]] = got[k]
			}
			errs[i] = err
		})
	}
	both.Wait()
	return shots, errors.Join(errs[:]...)
}

// canaries sends some by each link and waits until its ends have seen them.
func canaries(ctx context.Context, w Waits, links []Link, ends []*end, when evidence.Place) {
	ctx, cancel := context.WithTimeout(ctx, w.Canary)
	defer cancel()
	var all sync.WaitGroup
	for _, l := range links {
		of := slices.DeleteFunc(slices.Clone(ends), func(e *end) bool { return e.link != l.Name || !e.decides })
		all.Go(func() {
			birds := make([]canary, canaryCount)
			for i := range birds {
				birds[i] = newCanary()
			}
			at := time.Now()
			err := l.send(birds)
			for _, e := range of {
				k := evidence.Canary{When: when, At: at, Sent: canaryCount}
				if err == nil {
					k.Seen = e.await(ctx, birds)
				}
				e.canaries = append(e.canaries, k)
			}
		})
	}
	all.Wait()
}

// await is how many of the canaries came back in time.
func (e *end) await(ctx context.Context, birds []canary) int {
	for {
		n, next := e.keep.arrived(birds)
		if n == len(birds) {
			return n
		}
		select {
		case <-next:
		case <-e.done:
			n, _ = e.keep.arrived(birds)
			return n
		case <-ctx.Done():
			return n
		}
	}
}
