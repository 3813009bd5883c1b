package blocked

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Messages, commands and attributes of <linux/netfilter/nfnetlink_log.h>.
const (
	packetMessage = unix.NFNL_SUBSYS_ULOG << 8
	configMessage = unix.NFNL_SUBSYS_ULOG<<8 | 1
	attrCommand   = 1
	attrMode      = 2
	attrThreshold = 5
	attrFlags     = 6
	commandBind   = 1
	copyPacket    = 2
	flagSequence  = 1
)

// copyRange is what the kernel copies of each packet, in bytes: room for
// Ethernet with a VLAN, IPv6 with some extension headers, and ports.
const copyRange = 160

// readBuffer holds some thousand messages, so that a burst is not lost while
// a program is looked for. Without privileges over the machine the kernel
// gives less.
const readBuffer = 2 << 20

// bindTime bounds how long the kernel's answer to the binding may take.
const bindTime = 5 * time.Second

// ErrUnsupported means that the kernel has no nfnetlink_log.
var ErrUnsupported = errors.New("the kernel has no nflog")

// BusyError means that somebody listens on the group already: the kernel tells
// one listener only.
type BusyError struct {
	Group   uint16
	PID     int    // of who listens; 0: not known
	Program string // of that process
}

func (e *BusyError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("somebody else listens on nflog group %d", e.Group)
	}
	return fmt.Sprintf("process %d (%q) listens on nflog group %d", e.PID, e.Program, e.Group)
}

// Listener hears of blocked packets in the network namespace in which it was
// made. It is not safe for concurrent use.
type Listener struct {
	ctx     context.Context
	conn    *netlink.Conn
	stop    func() bool
	closed  atomic.Bool
	waiting []message
	names   names
	finder  *finder
	loss    loss
}

// Listen binds the group until ctx ends or Close is called. It needs
// CAP_NET_ADMIN and fails with an error that is os.ErrPermission without it,
// with a *[BusyError] if the group has a listener, and with [ErrUnsupported] on
// a kernel without nflog.
func Listen(ctx context.Context, group uint16) (*Listener, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, fmt.Errorf("open netfilter socket: %w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open netfilter socket: %w", err)
	}
	// A smaller buffer than wished for loses events earlier, and counts them.
	_ = conn.SetReadBuffer(readBuffer)
	l := &Listener{ctx: ctx, conn: conn, finder: newFinder("/proc")}
	l.finder.diag = openDiag()
	if err := l.bind(group); err != nil {
		_ = conn.Close()
		l.finder.diag.close()
		return nil, fmt.Errorf("bind nflog group %d: %w", group, err)
	}
	l.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return l, nil
}

// bind asks for single messages at once, not for batches a second apart: a
// program that is refused may be gone by then.
func (l *Listener) bind(group uint16) error {
	mode := binary.BigEndian.AppendUint32(nil, copyRange)
	data, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: attrCommand, Data: []byte{commandBind}},
		{Type: attrMode, Data: append(mode, copyPacket, 0)},
		{Type: attrThreshold, Data: binary.BigEndian.AppendUint32(nil, 1)},
		{Type: attrFlags, Data: binary.BigEndian.AppendUint16(nil, flagSequence)},
	})
	if err != nil {
		return err
	}
	header := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0}, group)
	if err := l.conn.SetReadDeadline(time.Now().Add(bindTime)); err != nil {
		return err
	}
	if _, err := l.conn.Send(netlink.Message{
		Header: netlink.Header{Type: configMessage, Flags: netlink.Request | netlink.Acknowledge},
		Data:   append(header, data...),
	}); err != nil {
		return err
	}
	for {
		answers, err := l.conn.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			l.loss.overrun = true
			continue
		case errors.Is(err, os.ErrPermission):
			if busy := l.finder.busy(group); busy != nil {
				return busy
			}
			return err
		case errors.Is(err, unix.EBUSY):
			return &BusyError{Group: group}
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT):
			return fmt.Errorf("%w: %w", ErrUnsupported, err)
		case err != nil:
			return err
		}
		l.take(answers)
		for _, m := range answers {
			if m.Header.Type == netlink.Error { // that is an acknowledgement: no errno came
				return l.conn.SetReadDeadline(time.Time{})
			}
		}
	}
}

// Next waits for an event. After ctx ended, its error is that of ctx; after
// Close it is os.ErrClosed. What the kernel had no room for is no error:
// see Event.Lost and [Listener.Lost].
func (l *Listener) Next() (Event, error) {
	for len(l.waiting) == 0 {
		got, err := l.conn.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			l.loss.overrun = true
			continue
		case err != nil && l.ctx.Err() != nil:
			return Event{}, l.ctx.Err()
		case err != nil && l.closed.Load():
			return Event{}, os.ErrClosed
		case err != nil:
			return Event{}, fmt.Errorf("read nflog: %w", err)
		}
		l.take(got)
	}
	m := l.waiting[0]
	if l.waiting = l.waiting[1:]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	if m.Outward() { // first: the program may end any moment
		m.PID, m.Program = l.finder.find(m.Event)
	}
	m.In, m.Out = l.names.of(m.in), l.names.of(m.link)
	return m.Event, nil
}

// Lost is how many events the kernel had no room for, at least.
func (l *Listener) Lost() uint64 { return l.loss.total() }

// Close stops listening and frees all that Listen opened, after ctx ended too. It may be called while Next waits.
func (l *Listener) Close() error {
	l.closed.Store(true)
	l.stop()
	l.finder.diag.close()
	return l.conn.Close()
}

// take decodes messages. One that cannot be read, or that is about somebody
// else's rule, is passed over.
func (l *Listener) take(list []netlink.Message) {
	for _, raw := range list {
		if raw.Header.Type != packetMessage {
			continue
		}
		m, err := decode(raw.Data)
		lost := l.loss.note(m)
		if err != nil {
			continue
		}
		m.Lost = lost
		if m.Time.IsZero() {
			m.Time = time.Now()
		}
		l.waiting = append(l.waiting, m)
	}
}

// loss counts events by the gaps in their sequence.
type loss struct {
	next    uint32
	counted uint64
	pending uint64 // not yet told by an event
	overrun bool   // the kernel said that it lost some, and no event came since
}

// note returns what was lost before the message.
func (s *loss) note(m message) uint64 {
	if m.hasSeq {
		if gap := m.seq - s.next; gap < 1<<31 {
			s.counted += uint64(gap)
			s.pending += uint64(gap)
		}
		s.next, s.overrun = m.seq+1, false
	}
	if m.Rule == "" {
		return 0
	}
	lost := s.pending
	s.pending = 0
	return lost
}

func (s *loss) total() uint64 {
	if s.overrun {
		return s.counted + 1
	}
	return s.counted
}
