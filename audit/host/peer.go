package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// statsEvery is how often a witness says how many frames it lost. Silence is
// no statement, so the audit waits for one after its last canary.
const statsEvery = 100 * time.Millisecond

// Witness captures what comes in by a link and writes it to out as pcapng, with
// interface statistics in between, until stop is closed or out takes no more.
// Only frames from these link addresses are handed over; none stands for all.
func Witness(index int, name string, macs [][6]byte, stop <-chan struct{}, out io.Writer) error {
	live, err := wire.Listen(index, wire.Received)
	if err != nil {
		return err
	}
	defer live.Close()
	w, err := pcapgo.NewNgWriterInterface(out, pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet, TimestampResolution: 9},
		pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "vpnguard"}})
	if err != nil {
		return fmt.Errorf("begin the stream: %w", err)
	}
	var told time.Time
	var seen uint64
	for {
		var failed error
		err := live.Next(poll, func(f wire.Frame) {
			if failed != nil || len(f.Data) < ethernetHeader || len(macs) > 0 && !slices.Contains(macs, [6]byte(f.Data[6:12])) {
				return
			}
			seen++
			failed = w.WritePacket(gopacket.CaptureInfo{Timestamp: f.Time, CaptureLength: len(f.Data), Length: f.Len}, f.Data)
		})
		if err = errors.Join(err, failed); err != nil {
			return fmt.Errorf("hand over frames: %w", err)
		}
		select {
		case <-stop:
			return w.Flush()
		default:
		}
		if time.Since(told) >= statsEvery {
			told = time.Now()
			drops, err := live.Drops()
			if err == nil {
				err = w.WriteInterfaceStats(0, pcapgo.NgInterfaceStatistics{LastUpdate: told, PacketsReceived: seen, PacketsDropped: drops})
			}
			if err != nil {
				return fmt.Errorf("hand over statistics: %w", err)
			}
		}
		if err := w.Flush(); err != nil {
			return fmt.Errorf("hand over frames: %w", err)
		}
	}
}

// A Peer reads what a witness writes.
type Peer struct {
	in    io.Reader
	ready chan struct{} // closed at the first statistics: it captures

	mu    sync.Mutex
	drops uint64
	known bool
	told  chan struct{} // closed and replaced at each statistics
	ended chan struct{}
	end   func()
}

// NewPeer reads in; end makes the witness stop.
func NewPeer(in io.Reader, end func()) *Peer {
	return &Peer{in: in, end: end, ready: make(chan struct{}), told: make(chan struct{}), ended: make(chan struct{})}
}

// maxBlock bounds what a stream can make us hold: more than any frame.
const maxBlock = 512 << 10

func (p *Peer) run(_ <-chan struct{}, take func(wire.Frame)) error {
	defer close(p.ended)
	r, err := pcapgo.NewNgReader(bufio.NewReader(p.in), pcapgo.NgReaderOptions{StatisticsCallback: p.statistics})
	if err != nil {
		return fmt.Errorf("the peer's stream is no pcapng: %w", err)
	}
	if r.LinkType() != layers.LinkTypeEthernet {
		return fmt.Errorf("the peer captures %s, not Ethernet", r.LinkType())
	}
	for {
		data, info, err := r.ZeroCopyReadPacketData()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the peer's stream ended")
		case err != nil:
			return fmt.Errorf("read the peer's stream: %w", err)
		case len(data) > maxBlock:
			return fmt.Errorf("read the peer's stream: a frame of %d bytes cannot be", len(data))
		}
		take(wire.Frame{Time: info.Timestamp, Data: data, Len: info.Length})
	}
}

func (p *Peer) statistics(_ int, s pcapgo.NgInterfaceStatistics) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.PacketsDropped == pcapgo.NgNoValue64 {
		return
	}
	if !p.known {
		close(p.ready)
	}
	p.drops, p.known = s.PacketsDropped, true
	close(p.told)
	p.told = make(chan struct{})
}

// settled waits for statistics that the witness wrote after the frames.
func (p *Peer) settled(ctx context.Context) (uint64, error) {
	p.mu.Lock()
	told := p.told
	p.mu.Unlock()
	select {
	case <-told:
	case <-p.ended:
		return p.drops, errors.New("the peer ended before it said how many frames it lost")
	case <-ctx.Done():
		return p.drops, fmt.Errorf("the peer did not say how many frames it lost: %w", context.Cause(ctx))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drops, nil
}

func (p *Peer) interrupt() { p.end() }

// await returns when the peer captures, or will not.
func (p *Peer) await(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	select {
	case <-p.ready:
	case <-p.ended:
	case <-ctx.Done():
	}
}
