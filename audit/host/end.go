package host

import (
	"context"
	"fmt"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A source hands over the frames of one place.
type source interface {
	// run hands over until stop is closed, or until it cannot.
	run(stop <-chan struct{}, take func(wire.Frame)) error
	// settled returns when all that was on the place before the call has been
	// handed over, and says how many frames were lost so far.
	settled(ctx context.Context) (drops uint64, err error)
	// interrupt makes run return that waits for others.
	interrupt()
}

// An end is one place of capture.
type end struct {
	vantage   string
	role      evidence.Role
	link      string // the machine's own link that it is about
	iface     string // that is captured, where it is
	layer     evidence.Layer
	decides   bool
	declared  evidence.Declared
	keep      *keeper
	from      source
	canaries  []evidence.Canary
	stop      chan struct{}
	done      chan struct{}
	err       error // why it ended early; read after done is closed
	drops     uint64
	dropsFail error
}

// OwnEnd and FarEnd name the two vantage points of a link.
func OwnEnd(link string) string { return link + " of the host" }
func FarEnd(link string) string { return "behind " + link }

func (e *end) start() {
	e.stop, e.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(e.done)
		e.err = e.from.run(e.stop, e.keep.take)
		select {
		case <-e.stop:
			e.err = nil
		default:
			if e.err == nil {
				e.err = fmt.Errorf("it ended by itself")
			}
		}
	}()
}

// finish ends the capture; what was handed over stays.
func (e *end) finish(ctx context.Context, w Waits) {
	ctx, cancel := context.WithTimeout(ctx, w.Canary)
	defer cancel()
	select {
	case <-e.done:
	default:
		e.drops, e.dropsFail = e.from.settled(ctx)
	}
	close(e.stop)
	e.from.interrupt()
	select {
	case <-e.done:
	case <-time.After(time.Second): // standard input that nobody closes
	}
}

// capture is the end as evidence.
func (e *end) capture() evidence.Capture {
	e.keep.mu.Lock()
	defer e.keep.mu.Unlock()
	c := evidence.Capture{
		Vantage: e.vantage, Role: e.role, Interface: e.iface, Layer: e.layer, Decides: e.decides, Declared: e.declared,
		Canaries: e.canaries, Drops: e.drops, Frames: e.keep.frames, Count: len(e.keep.frames),
	}
	errs := []error{e.keep.err, e.dropsFail}
	select {
	case <-e.done:
		errs = append(errs, e.err)
	default:
	}
	for _, err := range errs {
		if err != nil && c.Error == "" {
			c.Error = err.Error()
		}
	}
	for name, n := range e.keep.tallies {
		c.Tallies = append(c.Tallies, evidence.Tally{Entry: name, Frames: n})
	}
	return c
}

// local is a link of this machine.
type local struct{ live *wire.Live }

// poll is how long a capture waits for frames before it looks whether it is to end.
const poll = 20 * time.Millisecond

func listen(index int, d wire.Direction) (*local, error) {
	live, err := wire.Listen(index, d)
	if err != nil {
		return nil, err
	}
	return &local{live}, nil
}

func (l *local) run(stop <-chan struct{}, take func(wire.Frame)) error {
	defer l.live.Close()
	for {
		if err := l.live.Next(poll, take); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// settled needs no wait: the kernel hands a frame to the ring as it passes, and
// the canaries before have come through it.
func (l *local) settled(context.Context) (uint64, error) { return l.live.Drops() }

func (l *local) interrupt() {}

// abandon is for an end that was never started.
func (e *end) abandon() {
	e.from.interrupt()
	if l, ok := e.from.(*local); ok {
		l.live.Close()
	}
}
