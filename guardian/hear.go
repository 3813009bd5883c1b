package guardian

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/vpnguard/vpnguard/blocked"
	"github.com/vpnguard/vpnguard/rules"
)

// What is told of blocked packets: kinds that are kept, and for how long.
const (
	kinds  = 256
	window = 10 * time.Minute
)

// heardPerSecond bounds what a flood of blocked packets costs: beyond it the
// kernel drops what it would tell, and counts it.
const heardPerSecond = 1000

// ears hears of blocked packets, keeps the last minutes and tells followers. The
// kernel tells one listener only, so that others have to ask here.
type ears struct {
	recent *blocked.Aggregate

	mu        sync.Mutex
	followers map[chan blocked.Event]bool
	deaf      error // why nothing is heard; nil: it is
}

func newEars() *ears {
	return &ears{recent: blocked.NewAggregate(kinds, window), followers: map[chan blocked.Event]bool{}}
}

// hear listens until ctx ends or nothing can be heard.
func (e *ears) hear(ctx context.Context) error {
	l, err := blocked.Listen(ctx, rules.LogGroup)
	e.mu.Lock()
	e.deaf = err
	e.mu.Unlock()
	if err != nil {
		return err
	}
	defer l.Close()
	n, second := 0, time.Now()
	for {
		event, err := l.Next()
		if err != nil {
			e.mu.Lock()
			e.deaf = err
			e.mu.Unlock()
			return err
		}
		e.recent.Add(event)
		e.tell(event)
		if n++; n < heardPerSecond {
			continue
		}
		if rest := time.Second - time.Since(second); rest > 0 {
			select {
			case <-time.After(rest):
			case <-ctx.Done():
			}
		}
		n, second = 0, time.Now()
	}
}

// tell hands an event to all who follow. Who is slow misses some.
func (e *ears) tell(event blocked.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.followers {
		select {
		case c <- event:
		default:
		}
	}
}

// maxFollowers at a time; each is a root's terminal.
const maxFollowers = 16

var errDeaf = errors.New("the guardian hears of no blocked packets")

// follow adds a follower; the function takes it away.
func (e *ears) follow() (<-chan blocked.Event, func(), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.deaf != nil {
		return nil, nil, errors.Join(errDeaf, e.deaf)
	}
	if len(e.followers) >= maxFollowers {
		return nil, nil, errBusy
	}
	c := make(chan blocked.Event, 256)
	e.followers[c] = true
	return c, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.followers, c)
	}, nil
}
