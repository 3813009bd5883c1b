package tunnel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/tunnel/crypt"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/fit"
	"github.com/vpnguard/vpnguard/tunnel/gso"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/tun"
	"github.com/vpnguard/vpnguard/tunnel/udp"
)

// What one direction may take before the other has its turn: few super-packets,
// for what comes back waits meanwhile, a fifth of a millisecond for each; or
// enough single packets to fill sends.
const (
	burstBytes   = 256 << 10
	burstPackets = 256
)

// pump is the one thread of a device. Everything in it belongs to that thread.
type pump struct {
	tun    *tun.Device
	udp    *udp.Socket
	engine *engine.Engine
	merger gso.Merger
	wanted uint16          // port that was asked for; 0: any
	port   uint16          // port of the socket
	mark   uint32          // firewall mark of the socket
	wake   int             // an event descriptor that ends the waiting
	todo   func() []func() // what others want done
	stop   bool
	now    time.Duration
	drops  Drops

	read    []byte // of the TUN device
	heads   []byte // of the segments of what was read
	arrived []byte // from the wire
	scratch []byte // one packet
	cuts    []byte // heads of what did not fit
	piece   []byte // of a packet, or an answer to it
	batch   batch

	keeper   *keeper
	mtu      atomic.Int64 // that the TUN device is to have
	rescuing bool
	// fragments numbers IPv6 packets that were divided; it begins anywhere.
	fragments uint32

	rung   atomic.Bool // there are jobs
	wakeMu sync.Mutex  // against ringing a descriptor that is closed
}

// batch is datagrams by one way that go out by one call: all of one size,
// only the last may be shorter.
type batch struct {
	buf    []byte
	way    engine.Way
	peer   *engine.Peer
	key    *crypt.Key
	size   int
	used   int
	count  int
	closed bool // the last one is shorter
}

func newPump() *pump {
	p := &pump{
		wake: -1,
		read: make([]byte, tun.Buffer), heads: make([]byte, gso.HeadsSize),
		arrived: make([]byte, udp.Buffer), scratch: make([]byte, 0, 1<<16), piece: make([]byte, 0, 1<<16), cuts: make([]byte, gso.HeadsSize),
		batch: batch{buf: make([]byte, 2*udp.MaxBytes)},
	}
	p.merger.Write = p.deliver
	p.fragments = rand.Uint32()
	return p
}

func (p *pump) close() {
	p.wakeMu.Lock()
	defer p.wakeMu.Unlock()
	if p.keeper != nil {
		p.keeper.close()
		p.keeper = nil
	}
	if p.engine != nil {
		p.engine.Close()
	}
	if p.tun != nil {
		_ = p.tun.Close()
	}
	if p.udp != nil {
		_ = p.udp.Close()
	}
	if p.wake >= 0 {
		unix.Close(p.wake)
		p.wake = -1
	}
}

// ring ends the pump's waiting. Others call it.
func (p *pump) ring() {
	p.wakeMu.Lock()
	defer p.wakeMu.Unlock()
	if p.wake >= 0 {
		p.rung.Store(true)
		// A full counter rings as well.
		_, _ = unix.Write(p.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	}
}

// run moves packets until it is stopped or the TUN device or socket fails.
func (p *pump) run() error {
	// The calls below do not block and are hidden from the scheduler; a thread
	// of its own keeps the packets' memory in one cache.
	runtime.LockOSThread()
	fds := []unix.PollFd{{Fd: int32(p.tun.FD()), Events: unix.POLLIN}, {Fd: int32(p.udp.FD()), Events: unix.POLLIN}, {Fd: int32(p.wake), Events: unix.POLLIN}}
	count := make([]byte, 8)
	for {
		p.now = boottime()
		out, err := p.outward()
		if err != nil {
			return err
		}
		in, err := p.inward()
		if err != nil {
			return err
		}
		if next, ok := p.engine.Next(); ok && next <= p.now {
			p.engine.Tick(p.now)
		}
		if p.udp.Troubled() || fds[1].Revents&unix.POLLERR != 0 {
			fds[1].Revents = 0
			p.troubles()
		}
		if p.rung.Swap(false) {
			for _, job := range p.todo() {
				job()
			}
			if p.stop {
				return nil
			}
		}
		if mtu := p.engine.MTU(); int64(mtu) != p.mtu.Load() {
			p.mtu.Store(int64(mtu))
			p.keeper.change(mtu)
		}
		if out || in {
			continue
		}
		fds[1].Fd = int32(p.udp.FD()) // which a job may have changed
		if _, err := unix.Poll(fds, p.wait()); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for packets: %w", err)
		}
		if fds[2].Revents != 0 {
			_, _ = unix.Read(p.wake, count)
		}
	}
}

// wait is how long there is nothing to do, in milliseconds; -1: until something comes.
func (p *pump) wait() int {
	next, ok := p.engine.Next()
	if !ok {
		return -1
	}
	left := next - boottime()
	return int(max(0, min(left+time.Millisecond-1, time.Hour)) / time.Millisecond)
}

// outward takes what the TUN device has, and reports whether there may be more.
func (p *pump) outward() (more bool, err error) {
	for taken, count := 0, 0; taken < burstBytes && count < burstPackets; count++ {
		n, ok, err := p.tun.Read(p.read)
		if err != nil {
			return false, err
		}
		if !ok {
			p.flush()
			return false, nil
		}
		p.take(p.read[:n])
		taken += n
	}
	p.flush()
	return true, nil
}

// take sends one packet or super-packet.
func (p *pump) take(buf []byte) {
	s := gso.Segments{Buf: buf, Size: len(buf), Count: 1}
	if p.tun.Has().Header {
		var err error
		if s, err = gso.Split(buf, p.heads); err != nil {
			p.drops.Broken++
			return
		}
	}
	peer, err := p.engine.Route(s.Buf)
	if err != nil {
		p.drops.NoPeer++
		return
	}
	limit := p.engine.Limit(peer)
	if s.Head+min(s.Size, len(s.Buf)-s.Head) > limit {
		p.squeeze(peer, s, limit)
		return
	}
	if s.Count > 1 {
		p.flush()
		p.segments(peer, s, limit)
		return
	}
	packet := s.Buf
	if s.Head > 0 { // a super-packet of one segment
		packet = s.Copy(p.scratch, 0)
	}
	fit.Clamp(packet, limit)
	p.single(peer, packet, limit)
}

// segments sends a super-packet, of which no packet is longer than limit.
func (p *pump) segments(peer *engine.Peer, s gso.Segments, limit int) {
	size := crypt.Padded(s.Head+s.Size, limit) + noise.TransportSize
	most := max(1, min(udp.MaxSegments, udp.MaxBytes/size))
	for i := 0; i < s.Count; i += most {
		n := min(most, s.Count-i)
		last := crypt.Padded(s.Head+len(s.Body(i+n-1)), limit) + noise.TransportSize
		g, ok := p.engine.Reserve(p.now, peer, n, (n-1)*size+last)
		if !ok {
			p.stage(peer, s, i)
			return
		}
		for k := range n {
			noise.PutHeader(p.batch.buf[k*size:], g.Remote, g.First+uint64(k))
		}
		g.Key.Seal(p.batch.buf, size, noise.HeaderSize, crypt.Run{
			Buf:   s.Buf[i*s.Size : min(s.Head+(i+n)*s.Size, len(s.Buf))],
			Heads: s.Heads[i*s.Head : (i+n)*s.Head], Head: s.Head, Size: s.Size, Limit: limit,
		}, g.First)
		if out := p.batch.buf[:(n-1)*size+last]; !p.send(g.Way, out, size) {
			p.rescue(peer, g.Key, out, size)
			if now := p.engine.Limit(peer); now < limit {
				p.rest(peer, s, i+n, now)
				return
			}
		}
	}
}

// single adds one packet, which is not longer than limit, to the batch.
func (p *pump) single(peer *engine.Peer, packet []byte, limit int) {
	size := crypt.Padded(len(packet), limit) + noise.TransportSize
	g, ok := p.engine.Reserve(p.now, peer, 1, size)
	if !ok {
		p.stage(peer, gso.Segments{Buf: packet, Size: len(packet), Count: 1}, 0)
		return
	}
	b := &p.batch
	if b.count > 0 && (b.closed || b.way != g.Way || b.key != g.Key || size > b.size || b.count == udp.MaxSegments || b.used+size > udp.MaxBytes) {
		p.flush()
	}
	if b.count == 0 {
		b.way, b.size, b.peer, b.key = g.Way, size, peer, g.Key
	}
	at := b.buf[b.used:]
	noise.PutHeader(at, g.Remote, g.First)
	g.Key.Seal(at, 0, noise.HeaderSize, crypt.Run{Buf: packet, Size: len(packet), Limit: limit}, g.First)
	b.count++
	b.used += size
	b.closed = size < b.size
}

// stage gives the segments from i on to the engine, which keeps copies until
// there are keys.
func (p *pump) stage(peer *engine.Peer, s gso.Segments, i int) {
	for ; i < s.Count; i++ {
		packet := s.Copy(p.scratch, i)
		if err := p.engine.Stage(p.now, peer, packet); err != nil {
			p.drops.Unstaged++
		}
	}
}

// flush sends the batch.
func (p *pump) flush() {
	b := &p.batch
	if b.count == 0 {
		return
	}
	way, out, size, peer, key := b.way, b.buf[:b.used], b.size, b.peer, b.key
	*b = batch{buf: b.buf}
	if !p.send(way, out, size) {
		p.rescue(peer, key, out, size)
	}
}

// inward takes what the socket has, and reports whether there may be more.
func (p *pump) inward() (more bool, err error) {
	for taken, count := 0, 0; taken < burstBytes && count < burstPackets; count++ {
		from, at, n, size, ok, err := p.udp.Receive(p.arrived)
		if err != nil || !ok {
			return false, err
		}
		p.engine.Receive(p.now, engine.Way{To: from, From: at}, p.arrived[:n], size, p.merger.Add)
		// Nothing waits for more to come: no packet is late for the sake of another.
		p.merger.Flush()
		taken += n
	}
	return true, nil
}

// deliver writes what the merger put together. A kernel that does not take a
// super-packet gets its packets one by one, and no more super-packets.
func (p *pump) deliver(parts [][]byte, count int) {
	err := p.tun.Write(parts)
	if err == nil {
		return
	}
	if count == 1 || !errors.Is(err, unix.EINVAL) {
		p.drops.Undone++
		return
	}
	p.merger.TCP, p.merger.UDP = false, false
	var whole []byte
	for _, part := range parts {
		whole = append(whole, part...)
	}
	s, err := gso.Split(whole, make([]byte, gso.HeadsSize))
	if err != nil {
		p.drops.Undone++
		return
	}
	var none [gso.HeaderSize]byte
	for i := range s.Count {
		if p.tun.Write([][]byte{none[:], s.Copy(p.scratch, i)}) != nil {
			p.drops.Undone++
		}
	}
}
