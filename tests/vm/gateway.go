package vm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// The addresses of the LAN. They are never-public ones, so that a lock which
// knew no address yet lets their neighbours be found.
var (
	GatewayMAC = net.HardwareAddr{0x02, 0, 0, 0, 0x77, 0x01}
	GuestMAC   = net.HardwareAddr{0x02, 0, 0, 0, 0x77, 0x64}
	Gateway4   = netip.MustParseAddr("192.168.77.1")
	Guest4     = netip.MustParseAddr("192.168.77.100")
	Gateway6   = netip.MustParseAddr("fe80::77:1")
	Prefix6    = netip.MustParsePrefix("fd77:1::/64")
)

// maxFrame is more than any link of a guest carries; a longer one means that
// the stream is out of step.
const maxFrame = 1 << 17

// errEnd is an end of the cable between two frames.
var errEnd = errors.New("the cable has ended")

// Gateway is the router at the far end of the guest's cable, and the witness.
// With a second card it is a switch as well: the guest's own far end, in a
// namespace of the guest, is the router then, with the gateway's addresses.
type Gateway struct {
	mu     sync.Mutex
	frames []wire.Frame
	err    error

	toFar chan []byte // nil: there is no second card
	done  chan struct{}
}

// farQueue is how many frames wait for the far card. It reads nothing before
// its driver is there, which must not hold up the other cable.
const farQueue = 4096

// NewGateway serves conn until it ends. A far that is not nil is the second
// card's cable; its frames are passed on and not recorded.
func NewGateway(conn, far io.ReadWriter) *Gateway {
	g := &Gateway{done: make(chan struct{})}
	if far != nil {
		g.toFar = make(chan []byte, farQueue)
		go pass(far, g.toFar)
		go func() {
			for {
				data, err := readFrame(far)
				if err != nil || writeFrame(conn, data) != nil {
					return // the guest went off, of which its own cable tells
				}
			}
		}()
	}
	go func() {
		defer close(g.done)
		err := g.serve(conn)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.err = err
	}()
	return g
}

// Frames returns what the guest has sent so far.
func (g *Gateway) Frames() []wire.Frame {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.frames)
}

// Close waits for the end of the cable. An error means that frames may be missing.
func (g *Gateway) Close() error {
	<-g.done
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// pass writes what comes to the far card, until it is gone.
func pass(far io.Writer, frames <-chan []byte) {
	for data := range frames {
		if writeFrame(far, data) != nil {
			return
		}
	}
}

func (g *Gateway) serve(conn io.ReadWriter) error {
	if g.toFar != nil {
		defer close(g.toFar)
	}
	for {
		data, err := readFrame(conn)
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			return err
		}
		g.mu.Lock()
		g.frames = append(g.frames, wire.Frame{Time: time.Now(), Data: data, Len: len(data)})
		g.mu.Unlock()
		if g.toFar != nil {
			select {
			case g.toFar <- data:
			default: // as any link's queue that is full
			}
		}
		answers, err := answer(data)
		if err != nil {
			return err
		}
		for _, a := range answers {
			// A guest that went off does not read any more; what it sent
			// before is still to be read.
			_ = writeFrame(conn, a)
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	n, err := io.ReadFull(r, head[:])
	// A reset is qemu's end before it had read all of ours. A unix socket says
	// so after all of qemu's has been read.
	if n == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		return nil, errEnd
	}
	if err != nil {
		return nil, fmt.Errorf("read frame from the guest: %w", err)
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > maxFrame {
		return nil, fmt.Errorf("read frame from the guest: length %d", length)
	}
	data := make([]byte, length)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("read frame of %d bytes from the guest: %w", length, err)
	}
	return data, nil
}

func writeFrame(w io.Writer, data []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
	return err
}
