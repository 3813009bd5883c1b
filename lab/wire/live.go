package wire

import (
	"fmt"
	"time"
)

// A Live captures one link of a running machine, in this process. Unlike [Tap]
// it makes no link of its own for canaries: the machine stays as it is, but that
// a card takes in others' frames while [Received] ones are captured.
type Live struct{ ring *ring }

// liveBlocks of 256 KiB are the ring: some 200,000 small frames.
const liveBlocks = 128

// noLink is the index of no link, where a tap has its canaries'.
const noLink = -1

// Listen captures a link by its index. It needs CAP_NET_RAW.
func Listen(index int, d Direction) (*Live, error) {
	r, err := openRing(index, d, noLink, liveBlocks)
	if err != nil {
		return nil, fmt.Errorf("listen at link %d: %w", index, err)
	}
	return &Live{r}, nil
}

// Next waits at most so long for frames and hands them over. A frame's bytes
// are valid until take returns.
func (l *Live) Next(wait time.Duration, take func(Frame)) error {
	return l.ring.next(int(wait.Milliseconds()), func(c captured) error {
		take(Frame{Time: c.time, Data: c.data, Len: c.len})
		return nil
	})
}

// Drops counts the frames that found the ring full.
func (l *Live) Drops() (uint64, error) { return l.ring.drops() }

// Close ends the capture.
func (l *Live) Close() { l.ring.close() }
