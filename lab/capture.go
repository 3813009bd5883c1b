package lab

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// Capture holds every frame that passed one end of a cable: first of all what
// came out of the client's, as the gateway's end received it.
type Capture struct {
	cmd    *exec.Cmd
	ask    io.WriteCloser
	client *Node  // whose interface is at the other end; nil: somebody else's
	cable  string // that interface

	mu      sync.Mutex
	frames  []wire.Frame
	drops   uint64 // of the ring
	before  uint64 // cable drops to leave out
	waiting map[uint32]chan struct{}
	next    uint32
	ended   chan struct{}
	err     error // why it ended; read after ended is closed
}

// A Mark is a place in a capture.
type Mark int

// ErrLost means that frames left the cable but not all are in the capture, so
// that nothing can be concluded from what is missing in it.
var ErrLost = errors.New("frames were lost before the capture")

func captureRole(arg string) error {
	var v wire.View
	if err := json.Unmarshal([]byte(arg), &v); err != nil {
		return err
	}
	return wire.Tap(v, os.Stdin, os.Stdout)
}

// Watch captures at another place, until the laboratory ends.
func (l *Lab) Watch(node *Node, v wire.View) (*Capture, error) {
	c, err := startCapture(l.ctx, node, nil, v, "")
	if err != nil {
		return nil, fmt.Errorf("watch %q of %q: %w", v.Interface, node.Name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watches = append(l.watches, c)
	return c, nil
}

func startCapture(ctx context.Context, at, client *Node, v wire.View, pcap string) (*Capture, error) {
	c := &Capture{client: client, cable: "eth0", waiting: map[uint32]chan struct{}{}, ended: make(chan struct{})}
	arg, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	c.cmd = at.role(ctx, 0, "capture", string(arg))
	c.cmd.Stderr = os.Stderr
	if c.ask, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start the capture: %w", err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the capture: %w", err)
	}
	save, done, err := openPcap(pcap)
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		done()
		return nil, fmt.Errorf("start the capture: %w", err)
	}
	ready := make(chan struct{})
	go func() {
		defer close(c.ended)
		defer done()
		c.err = wire.Read(out, func() { close(ready) }, func(f wire.Frame) {
			save(f)
			c.mu.Lock()
			c.frames = append(c.frames, f)
			c.mu.Unlock()
		}, c.proven)
		c.err = errors.Join(c.err, c.cmd.Wait())
	}()
	select {
	case <-ready:
		return c, nil
	case <-c.ended:
		return nil, fmt.Errorf("start the capture: it ended: %w", c.err)
	}
}

// openPcap returns what saves a frame to path and what closes the file.
func openPcap(path string) (func(wire.Frame), func(), error) {
	if path == "" {
		return func(wire.Frame) {}, func() {}, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, nil, fmt.Errorf("create %q for the capture: %w", path, err)
	}
	buffered := bufio.NewWriter(file)
	p, err := wire.NewPcap(buffered)
	if err != nil {
		file.Close()
		return nil, nil, fmt.Errorf("write %q for the capture: %w", path, err)
	}
	// For debugging only: a disk that is full must not fail a test.
	return func(f wire.Frame) { _ = p(f) }, func() { _ = buffered.Flush(); _ = file.Close() }, nil
}

func (c *Capture) proven(request uint32, drops uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops = drops
	if w := c.waiting[request]; w != nil {
		close(w)
		delete(c.waiting, request)
	}
}

// Sync returns when everything that left the cable before the call is in the
// capture, which is proven by canaries that pass the same queues. The error is
// [ErrLost] if the kernel dropped frames since the laboratory was built, or
// tells that the capture has died.
func (c *Capture) Sync(ctx context.Context) error {
	for {
		seen, err := c.release()
		if err != nil {
			return fmt.Errorf("ask the capture for a canary: %w", err)
		}
		again := time.NewTimer(canaryWait)
		select {
		case <-seen:
			again.Stop()
			lost, err := c.Lost()
			if err == nil && lost > 0 {
				err = fmt.Errorf("capture the cable: %d frames: %w", lost, ErrLost)
			}
			return err
		case <-again.C:
		case <-c.ended:
			return fmt.Errorf("wait for a canary: the capture ended: %w", c.err)
		case <-ctx.Done():
			return fmt.Errorf("wait for a canary: %w", ctx.Err())
		}
	}
}

// canaryWait is when a canary counts as lost itself, in a ring that was full.
const canaryWait = time.Second

// release asks for a canary; the channel is closed when it is back.
func (c *Capture) release() (<-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	seen := make(chan struct{})
	c.waiting[c.next] = seen
	_, err := c.ask.Write(binary.BigEndian.AppendUint32(nil, c.next))
	return seen, err
}

// Lost counts the frames that left the client's interface without reaching the
// capture: those that its ring had no room for, known as of the last Sync, and
// those that the cable itself dropped.
func (c *Capture) Lost() (uint64, error) {
	onCable, err := uint64(0), error(nil)
	if c.client != nil {
		if onCable, err = c.cableDrops(); err != nil {
			return 0, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return onCable - c.before + c.drops, nil
}

// Renamed tells that the client's end of the cable has another name now.
func (c *Capture) Renamed(cable string) { c.cable = cable }

// forgetLost leaves out what the client sent before the gateway's end was up.
func (c *Capture) forgetLost() (err error) {
	c.before, err = c.cableDrops()
	return err
}

func (c *Capture) cableDrops() (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", c.client.PID()))
	if err != nil {
		return 0, fmt.Errorf("read the client's interface counters: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, counters, found := strings.Cut(line, ":")
		if !found || strings.TrimSpace(name) != c.cable {
			continue
		}
		const txDropped = 11
		if f := strings.Fields(counters); len(f) > txDropped {
			return strconv.ParseUint(f[txDropped], 10, 64)
		}
	}
	return 0, fmt.Errorf("read the client's interface counters: no %q in %q", c.cable, text)
}

// Mark is Sync, then the place after all frames so far.
func (c *Capture) Mark(ctx context.Context) (Mark, error) {
	if err := c.Sync(ctx); err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return Mark(len(c.frames)), nil
}

// Since returns the frames after m that are in the capture now. Call Sync
// first to have them all. The frames' bytes are shared; do not change them.
func (c *Capture) Since(m Mark) []wire.Frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.frames[m:])
}

// Until waits until ok says yes to the frames after m. The error of a wait
// that ctx ended is ctx's.
func (c *Capture) Until(ctx context.Context, m Mark, ok func([]wire.Frame) bool) ([]wire.Frame, error) {
	for {
		if err := c.Sync(ctx); err != nil {
			return nil, err
		}
		if frames := c.Since(m); ok(frames) {
			return frames, nil
		}
		// Sync itself takes some milliseconds, so this does not spin.
	}
}

// PID is the process that captures.
func (c *Capture) PID() int { return c.cmd.Process.Pid }

// wait returns when the capture has ended, after its context has.
func (c *Capture) wait() {
	c.ask.Close()
	<-c.ended
}
