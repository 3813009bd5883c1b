// Package keeper keeps a tunnel's worker running: it starts the process, gives it
// its setup, and starts another one when it ends. The TUN device is kept open by
// the caller, so that addresses and routes outlive a worker.
package keeper

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/worker"
)

// Child is a process that was started for a worker.
type Child struct {
	PID     int
	Control io.ReadWriteCloser
	Kill    func()
	Wait    func() error // returns when it has ended
}

// Event tells what happened; one part of it is set, and At with Completed.
type Event struct {
	Ready      *worker.Ready      // a worker is confined and waits
	Completed  *key.Public        // a handshake with this peer
	At         netip.AddrPort     // where that peer is; not valid: anywhere
	Unanswered *worker.Unanswered // a handshake that is not
	MTU        int                // that the device is to have now
	Refused    error              // a worker told of a change that it may not make; the next one does not get it
	Ended      error              // a worker is gone; another one follows
}

// Keeper is used by one Run; Begin and Move may be called from elsewhere.
type Keeper struct {
	// Setup is given to each worker. It follows what a worker changes, in memory
	// only, and is Run's alone.
	Setup worker.Setup
	// Start starts a process.
	Start func() (Child, error)
	// Event is called by Run for everything that happens. It must not block.
	Event func(Event)
	// Pause returns how long to wait before a worker is started again after the
	// nth one in a row that did not last; nil: [Pause].
	Pause func(n int) time.Duration

	begin     chan struct{}
	beginOnce sync.Once
	moved     chan struct{} // there is a move
	moveMu    sync.Mutex
	move      *worker.Move // the last one that no worker and no setup has
}

// New returns a keeper that is not running yet.
func New(setup worker.Setup, start func() (Child, error), event func(Event)) *Keeper {
	return &Keeper{Setup: setup, Start: start, Event: event, begin: make(chan struct{}), moved: make(chan struct{}, 1)}
}

// lasting is how long a worker runs that is not counted as one that failed.
const lasting = 10 * time.Second

// readyTime is how long a worker may take until it is confined. It takes some
// milliseconds; a machine that is starting may be a hundred times slower.
const readyTime = 10 * time.Second

// maxReport bounds a report, in bytes: what the engine was taken over for must not
// fill the supervisor's memory. A change of thousands of peers is shorter.
const maxReport = 4 << 20

// Pause is at once after the first, then longer each time, and at most 5 s: the
// host is closed meanwhile, and a server that comes back should not be waited for.
func Pause(n int) time.Duration {
	if n <= 1 {
		return 0
	}
	return min(50*time.Millisecond<<min(n-2, 10), 5*time.Second)
}

// Begin lets workers send: this one and all that follow.
func (k *Keeper) Begin() { k.beginOnce.Do(func() { close(k.begin) }) }

// Move gives peers other places: of this worker and of all that follow. It is the
// whole of it: another one that is still to come is forgotten.
func (k *Keeper) Move(m worker.Move) {
	k.moveMu.Lock()
	k.move = &m
	k.moveMu.Unlock()
	select {
	case k.moved <- struct{}{}:
	default:
	}
}

// moves makes the last move part of the setup and returns it; nil: there is none.
func (k *Keeper) moves() *worker.Move {
	k.moveMu.Lock()
	m := k.move
	k.move = nil
	k.moveMu.Unlock()
	if m != nil {
		k.Setup.Move(*m)
	}
	return m
}

// Run keeps workers running until ctx ends; then it ends the last one and returns
// nil. That the first one cannot be made ready is an error.
func (k *Keeper) Run(ctx context.Context) error {
	pause := k.Pause
	if pause == nil {
		pause = Pause
	}
	port := k.Setup.Port
	for failures, first := 0, true; ; first = false {
		started := time.Now()
		ready, err := k.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if first && !ready {
			return err
		}
		if !ready {
			k.Setup.Port = port // somebody else may have taken the one that it had
		}
		if failures++; time.Since(started) > lasting {
			failures = 1
		}
		k.Event(Event{Ended: err})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause(failures)):
		}
	}
}

// once runs one worker to its end. ready tells whether it was.
func (k *Keeper) once(ctx context.Context) (ready bool, err error) {
	child, err := k.Start()
	if err != nil {
		return false, fmt.Errorf("start the tunnel's engine: %w", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- child.Wait() }()
	defer func() {
		// Hanging up ends it; one that hangs is killed.
		_ = child.Control.Close()
		select {
		case <-waited:
		case <-time.After(time.Second):
			child.Kill()
			<-waited
		}
	}()
	orders := worker.NewSender(child.Control)
	reports := make(chan worker.Report)
	broken := make(chan error, 1)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		in := bufio.NewScanner(child.Control)
		in.Buffer(nil, maxReport)
		for in.Scan() {
			var r worker.Report
			if err := json.Unmarshal(in.Bytes(), &r); err != nil {
				broken <- err
				return
			}
			select {
			case reports <- r:
			case <-stop:
				return
			}
		}
		broken <- cmp.Or(in.Err(), io.EOF)
	}()
	k.moves()
	if err := orders.Send(worker.Order{Setup: &k.Setup}); err != nil {
		return false, fmt.Errorf("give the tunnel's engine its setup: %w", err)
	}
	return k.follow(ctx, child, orders, reports, broken, waited)
}

func (k *Keeper) follow(ctx context.Context, child Child, orders *worker.Sender, reports <-chan worker.Report, broken <-chan error, waited chan error) (ready bool, err error) {
	var begin <-chan struct{}
	late := time.NewTimer(readyTime)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return ready, nil
		case <-late.C:
			return ready, fmt.Errorf("the tunnel's engine (pid %d) is not ready after %v", child.PID, readyTime)
		case <-broken:
			return ready, ended(child, waited)
		case <-begin:
			begin = nil
			if err := orders.Send(worker.Order{Begin: true}); err != nil {
				return ready, ended(child, waited)
			}
		case <-k.moved:
			if m := k.moves(); m != nil {
				if err := orders.Send(worker.Order{Move: m}); err != nil {
					return ready, ended(child, waited)
				}
			}
		case r := <-reports:
			switch {
			case r.Ready != nil:
				late.Stop()
				ready, begin = true, k.begin
				// The next one takes the same port: to the server and every NAT on
				// the way it is the same client.
				k.Setup.Port = r.Ready.Port
				k.Event(Event{Ready: r.Ready})
			case r.Completed != nil:
				k.Event(Event{Completed: r.Completed, At: r.At})
			case r.Unanswered != nil:
				k.Event(Event{Unanswered: r.Unanswered})
			case r.MTU != 0:
				k.Event(Event{MTU: r.MTU})
			case r.Changed != nil:
				if err := k.Setup.Follow(*r.Changed); err != nil {
					k.Event(Event{Refused: err})
				}
			case r.Failed != "":
				return ready, errors.New(r.Failed)
			}
		}
	}
}

// ended tells how a child ended that hung up.
func ended(child Child, waited chan error) error {
	select {
	case err := <-waited:
		waited <- err // for who waits as well
		if err == nil {
			err = errors.New("it ended by itself")
		}
		return fmt.Errorf("the tunnel's engine (pid %d): %w", child.PID, err)
	case <-time.After(time.Second):
		return fmt.Errorf("the tunnel's engine (pid %d) hung up", child.PID)
	}
}
