package probe

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// A Stream is a flow of numbered datagrams: the nonce, then a number from 0 in
// eight bytes, big endian.
type Stream struct {
	Nonce string
	To    netip.AddrPort
	Dev   string // SO_BINDTODEVICE, if not empty
	// Rate is in datagrams each second; 0 is as fast as possible.
	Rate int
	// Padding is how many zero bytes follow the number.
	Padding int
	// For ends the stream, and zero is a minute; it ends earlier when standard
	// input does.
	For time.Duration
}

// A Count is what a stream did. Numbers that were refused are not sent again.
type Count struct {
	Sent, Refused uint64
	// Errors counts refusals by their cause.
	Errors map[string]uint64
}

// Send sends the stream until it ends. It says "ready" on out first.
func (s Stream) Send(in io.Reader, out io.Writer) (Count, error) {
	c := Count{Errors: map[string]uint64{}}
	if s.For == 0 {
		s.For = time.Minute
	}
	fd, err := how{device: s.Dev}.open(s.To.Addr(), unix.SOCK_DGRAM)
	if err != nil {
		return c, fmt.Errorf("open the stream's socket: %w", err)
	}
	defer unix.Close(fd)
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return c, err
	}
	var ended atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, in)
		ended.Store(true)
	}()
	to, start := sockaddr(s.To), time.Now()
	payload := append([]byte(s.Nonce), make([]byte, 8+s.Padding)...)
	for n := uint64(0); !ended.Load() && time.Since(start) < s.For; n++ {
		if s.Rate > 0 {
			// By the clock, not by steps: a late wake-up is caught up with.
			due := start.Add(time.Duration(n) * time.Second / time.Duration(s.Rate))
			time.Sleep(time.Until(due))
		}
		binary.BigEndian.PutUint64(payload[len(s.Nonce):], n)
		// The socket is not connected, so that each datagram finds its own way.
		if err := unix.Sendto(fd, payload, 0, to); err != nil {
			c.Refused++
			c.Errors[err.Error()]++
		} else {
			c.Sent++
		}
	}
	return c, nil
}

// A Flow is a connection that stays, to be opened before an event and used
// after it.
type Flow struct {
	To  netip.AddrPort
	TCP bool
	Dev string // SO_BINDTODEVICE, if not empty
}

// Opened tells how to recognise the flow on the wire.
type Opened struct{ Flow wire.Flow }

// Serve opens the flow, writes an [Opened] to out, and then sends each line
// that it reads, which should have a nonce, and writes a [Send] for it. It
// closes the flow when in ends.
func (f Flow) Serve(in io.Reader, out io.Writer) error {
	kind, proto := unix.SOCK_DGRAM, wire.UDP
	if f.TCP {
		kind, proto = unix.SOCK_STREAM, wire.TCP
	}
	fd, err := how{device: f.Dev}.open(f.To.Addr(), kind)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval((2 * time.Second).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return err
	}
	if err := unix.Connect(fd, sockaddr(f.To)); err != nil {
		return fmt.Errorf("connect to %q: %w", f.To, err)
	}
	port, err := localPort(fd)
	if err != nil {
		return err
	}
	w := json.NewEncoder(out)
	if err := w.Encode(Opened{wire.Flow{To: f.To.Addr(), Proto: proto, SrcPort: port, DstPort: f.To.Port()}}); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		s := shot{}
		_, err := unix.SendmsgN(fd, lines.Bytes(), nil, nil, unix.MSG_NOSIGNAL)
		s.tried("old flow", err)
		if err := w.Encode(s.receipt.Sends[0]); err != nil {
			return err
		}
	}
	return lines.Err()
}

// StreamRole and FlowRole run on this process's standard streams.
func StreamRole(arg string) error {
	var s Stream
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return err
	}
	c, err := s.Send(os.Stdin, os.Stdout)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(c)
}

// FlowRole is described at [StreamRole].
func FlowRole(arg string) error {
	var f Flow
	if err := json.Unmarshal([]byte(arg), &f); err != nil {
		return err
	}
	return f.Serve(os.Stdin, os.Stdout)
}
