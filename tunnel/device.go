// Package tunnel is the own tunnel: WireGuard on the wire, over one unconnected
// UDP socket, between a TUN device and any number of peers. A [Device] is one
// thread that does everything for its packets, from the TUN to the wire and
// back, in buffers that it made at the start.
//
// It knows nothing of rules and routes: whoever makes a device seals the host
// around it first.
package tunnel

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/tun"
	"github.com/vpnguard/vpnguard/tunnel/udp"
)

// Config is what a device needs.
type Config struct {
	Name       endpoint.IfName // must not exist
	Private    key.Private
	ListenPort uint16 // 0: any
	FwMark     uint32 // of what goes out by the wire; 0: none
	// MTU of the TUN device; 0: what all peers' paths take, [engine.DefaultMTU]
	// until that is known. A given one is the most: less is used where a path
	// takes less.
	MTU int
	// SetMTU gives the TUN device another MTU, for which a process without
	// privileges asks somebody else; nil: [tun.SetMTU], which needs
	// CAP_NET_ADMIN. It is called by one goroutine at a time, and not after
	// Close has returned. What it fails with is in [Status].
	SetMTU func(mtu int) error
	Peers  []engine.PeerConfig
	// Without is what is not to be used although the kernel has it.
	Without Without
	// Random is the source of keys; nil: the system's.
	Random io.Reader
	// TUN and UDP were opened by somebody with more rights; nil: New opens them.
	// The device closes them, on an error too.
	TUN *tun.Device
	UDP *udp.Socket
	// Completed is told of each handshake; see [engine.Config].
	Completed func(key.Public)
	// Unanswered is told of each handshake that is not answered; see
	// [engine.Config].
	Unanswered func(peer key.Public, inARow int)
}

// Without names parts of the data path that can be done without. The zero value
// uses all that the kernel has.
type Without struct {
	TUNHeader  bool // virtio headers, and with them all of the TUN's offloads
	TUNTCP     bool // super-packets of TCP, and with them of UDP
	TUNUDP     bool
	UDPSegment bool
	UDPGather  bool
	Probes     bool // of the paths' MTU, whose peers then get Config.MTU at most
}

func (w Without) tun() tun.Offload {
	return tun.Offload{Header: !w.TUNHeader, TCP: !w.TUNTCP, UDP: !w.TUNUDP}
}

func (w Without) udp() udp.Offload {
	return udp.Offload{Segment: !w.UDPSegment && !segmentBroken(), Gather: !w.UDPGather}
}

// Socket opens the socket of a device that is made later, when whoever makes it
// has lost the right to set a firewall mark.
func Socket(port uint16, mark uint32) (*udp.Socket, error) {
	return udp.Listen(port, mark, Without{}.udp())
}

// Features tells which parts of the data path are in use.
type Features struct {
	TUN tun.Offload
	UDP udp.Offload
}

// Status is what there is to tell of a device. It holds no secret.
type Status struct {
	Name       string
	Public     key.Public
	ListenPort uint16
	FwMark     uint32
	MTU        int
	MTUFault   string // why the TUN device does not have it; empty: it does
	Features   Features
	Peers      []engine.PeerStatus // by public key
	Drops      Drops
}

// Drops counts packets that did not pass.
type Drops struct {
	NoPeer   uint64 // from the host, to an address that no peer has
	Unsent   uint64 // datagrams that the kernel did not take
	Unstaged uint64 // from the host, to a peer without keys and endpoint
	Undone   uint64 // runs that the TUN device did not take
	Broken   uint64 // malformed packets of the TUN device
	TooBig   uint64 // longer than the path takes, which their senders were told
	// Unanswered are strangers who got no cookie, because answers to other
	// strangers still waited to be sent.
	Unanswered uint64
}

// ErrClosed is returned by every call after [Device.Close].
var ErrClosed = errors.New("the tunnel's device is closed")

// Device is a running tunnel.
type Device struct {
	p *pump

	mu   sync.Mutex
	jobs []func()
	done chan struct{} // closed when the pump has ended
	err  error         // why; read after done
}

// New makes the TUN device and the socket and starts the tunnel. The TUN device
// is down and has no address: see [tun.Configure]. It needs CAP_NET_ADMIN. On
// an error nothing is left.
func New(c Config) (_ *Device, err error) {
	p := newPump()
	p.tun, p.udp = c.TUN, c.UDP
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	p.engine, err = engine.New(engine.Config{Private: c.Private, Send: p.control, MTU: c.MTU, Probe: !c.Without.Probes, Random: c.Random, Completed: c.Completed, Unanswered: c.Unanswered})
	if err != nil {
		return nil, err
	}
	p.now = boottime()
	for _, peer := range c.Peers {
		if err := p.engine.SetPeer(p.now, peer); err != nil {
			return nil, err
		}
	}
	if p.udp == nil {
		if p.udp, err = udp.Listen(c.ListenPort, c.FwMark, c.Without.udp()); err != nil {
			return nil, err
		}
	}
	if p.port, err = p.udp.Port(); err != nil {
		return nil, err
	}
	p.wanted, p.mark = c.ListenPort, c.FwMark
	if p.tun == nil {
		if p.tun, err = tun.Open(c.Name, c.Without.tun()); err != nil {
			return nil, err
		}
	}
	p.merger.TCP, p.merger.UDP = p.tun.Has().TCP, p.tun.Has().UDP
	if p.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("make an event descriptor: %w", err)
	}
	if c.SetMTU == nil {
		name := p.tun.Name()
		c.SetMTU = func(mtu int) error { return tun.SetMTU(name, mtu) }
	}
	p.keeper = newKeeper(c.SetMTU)
	p.mtu.Store(int64(p.engine.MTU()))
	d := &Device{p: p, done: make(chan struct{})}
	p.todo = d.take
	go func() {
		d.err = p.run()
		p.close()
		close(d.done)
	}()
	return d, nil
}

// Name is the TUN device's name.
func (d *Device) Name() string { return d.p.tun.Name() }

// MTU is what the TUN device's is to be. It changes with the peers' paths.
func (d *Device) MTU() int { return int(d.p.mtu.Load()) }

// Done is closed when the tunnel has ended: by Close, or by itself when its
// TUN device is gone. [Device.Close] then tells why.
func (d *Device) Done() <-chan struct{} { return d.done }

// Close ends the tunnel, erases its keys and removes its TUN device. The error
// is why it had ended before, if it had.
func (d *Device) Close() error {
	if err := d.do(func() { d.p.stop = true }); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	<-d.done
	return d.err
}

// SetPeer adds or changes a peer; see [engine.Engine.SetPeer].
func (d *Device) SetPeer(c engine.PeerConfig) error {
	var err error
	if closed := d.do(func() { err = d.p.engine.SetPeer(d.p.now, c) }); closed != nil {
		return closed
	}
	return err
}

// Handshake asks a peer for keys now; see [engine.Engine.Begin].
func (d *Device) Handshake(k key.Public) error {
	return d.do(func() { d.p.engine.Begin(d.p.now, k) })
}

// RemovePeer forgets a peer.
func (d *Device) RemovePeer(k key.Public) error {
	return d.do(func() { d.p.engine.RemovePeer(k) })
}

// Status tells how the tunnel is.
func (d *Device) Status() (Status, error) {
	var st Status
	err := d.do(func() { st = d.p.status() })
	st.sort()
	return st, err
}

// status is all that is told of the pump.
func (p *pump) status() Status {
	st := Status{Name: p.tun.Name(), Public: p.engine.Public(), ListenPort: p.port, FwMark: p.mark, MTU: p.engine.MTU(), Peers: p.engine.Peers(), Drops: p.drops}
	if fault := p.keeper.fault.Load(); fault != nil {
		st.MTUFault = *fault
	}
	st.Features = Features{p.tun.Has(), p.udp.Has()}
	st.Features.TUN.TCP, st.Features.TUN.UDP = p.merger.TCP, p.merger.UDP
	return st
}

func (s *Status) sort() {
	slices.SortFunc(s.Peers, func(a, b engine.PeerStatus) int { return cmp.Compare(a.Public.String(), b.Public.String()) })
}

// do runs f on the pump's thread, between packets, and waits for it.
func (d *Device) do(f func()) error {
	ran := make(chan struct{})
	d.mu.Lock()
	d.jobs = append(d.jobs, func() { f(); close(ran) })
	d.mu.Unlock()
	select {
	case <-d.done:
		return ErrClosed
	default:
		d.p.ring()
	}
	select {
	case <-ran:
		return nil
	case <-d.done:
		select {
		case <-ran:
			return nil
		default:
			return ErrClosed
		}
	}
}

// take hands the jobs over to the pump.
func (d *Device) take() []func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	jobs := d.jobs
	d.jobs = nil
	return jobs
}

// boottime is the engine's clock: it goes on while the host sleeps, for the
// peer's keys end meanwhile.
func boottime() time.Duration {
	var ts unix.Timespec
	// The clock exists on every kernel since 2.6.39, and the call never blocks.
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0)
	return time.Duration(ts.Nano())
}
