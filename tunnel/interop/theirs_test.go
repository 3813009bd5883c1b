package interop

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// theirs is a wireguard-go device on a TUN in memory.
type theirs struct {
	*device.Device
	tun    *tuntest.ChannelTUN
	public key.Public
	mu     sync.Mutex
	heard  map[uint64]int
	bad    int
	done   chan struct{}
}

func newTheirs(t *testing.T, bind conn.Bind) *theirs {
	t.Helper()
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	tun := tuntest.NewChannelTUN()
	w := &theirs{device.NewDevice(tun.TUN(), bind, device.NewLogger(device.LogLevelError, "wireguard-go: ")), tun, public, sync.Mutex{}, map[uint64]int{}, 0, make(chan struct{})}
	go func() {
		for {
			select {
			case p := <-tun.Inbound:
				n, ok := number(p)
				w.mu.Lock()
				if !ok {
					w.bad++
				}
				w.heard[n]++
				w.mu.Unlock()
			case <-w.done:
				return
			}
		}
	}()
	t.Cleanup(func() { w.Close(); close(w.done) })
	b := private.Bytes()
	w.set(t, "private_key="+hex.EncodeToString(b[:]))
	return w
}

func (w *theirs) set(t *testing.T, lines ...string) {
	t.Helper()
	if err := w.IpcSet(strings.Join(lines, "\n") + "\n"); err != nil {
		t.Fatal(err)
	}
}

// kept holds what wireguard-go would finalise: its finalisers receive from
// channels that belong to a test's bubble and may only be touched there.
var kept []any

// knows tells the device of us.
func (w *theirs) knows(t *testing.T, o *ours, psk key.Preshared, endpoint string, more ...string) {
	t.Helper()
	public, shared := o.engine.Public(), psk.Bytes()
	lines := []string{"public_key=" + hex.EncodeToString(public[:]), "replace_allowed_ips=true", "allowed_ip=10.0.0.1/32", "preshared_key=" + hex.EncodeToString(shared[:])}
	if endpoint != "" {
		lines = append(lines, "endpoint="+endpoint)
	}
	w.set(t, append(lines, more...)...)
	if err := w.Up(); err != nil {
		t.Fatal(err)
	}
	kept = append(kept, w, w.LookupPeer(device.NoisePublicKey(public)))
}

func (w *theirs) say(n uint64) { w.tun.Outbound <- packet(theirsInner, oursInner, n) }

func (w *theirs) got(n uint64) bool {
	return within(func() bool { return w.count(n) == 1 })
}

func (w *theirs) count(n uint64) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.heard[n]
}

// state is one line of what the device tells, such as "endpoint" or "listen_port".
func (w *theirs) state(t *testing.T, name string) string {
	t.Helper()
	all, err := w.IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(all) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return value
		}
	}
	return ""
}

// memory is a network between one of theirs and whoever else: a bind of
// wireguard-go whose datagrams never see a socket, so that a test may own time.
type memory struct {
	addr   netip.AddrPort
	mu     sync.Mutex
	in     chan parcel
	closed chan struct{}
	out    func(to netip.AddrPort, data []byte)
}

type parcel struct {
	from netip.AddrPort
	data []byte
}

func newMemory(addr string, out func(netip.AddrPort, []byte)) *memory {
	return &memory{addr: netip.MustParseAddrPort(addr), in: make(chan parcel, 4096), out: out}
}

func (m *memory) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	closed := make(chan struct{})
	m.closed = closed
	return []conn.ReceiveFunc{func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		select {
		case p := <-m.in:
			n := 0
			for {
				sizes[n], eps[n] = copy(packets[n], p.data), memoryEnd{p.from}
				if n++; n == len(packets) {
					return n, nil
				}
				select {
				case p = <-m.in:
				default:
					return n, nil
				}
			}
		case <-closed:
			return 0, fmt.Errorf("memory: %w", errClosed)
		}
	}}, m.addr.Port(), nil
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed != nil {
		close(m.closed)
		m.closed = nil
	}
	return nil
}

func (m *memory) SetMark(uint32) error { return nil }
func (m *memory) BatchSize() int       { return 128 }

func (m *memory) Send(bufs [][]byte, to conn.Endpoint) error {
	for _, b := range bufs {
		m.out(to.(memoryEnd).AddrPort, append([]byte(nil), b...))
	}
	return nil
}

func (m *memory) ParseEndpoint(s string) (conn.Endpoint, error) {
	a, err := netip.ParseAddrPort(s)
	return memoryEnd{a}, err
}

// give hands a datagram to the device.
func (m *memory) give(from netip.AddrPort, data []byte) {
	m.in <- parcel{from, append([]byte(nil), data...)}
}

type memoryEnd struct{ netip.AddrPort }

func (memoryEnd) ClearSrc()             {}
func (memoryEnd) SrcToString() string   { return "" }
func (e memoryEnd) DstToString() string { return e.String() }
func (e memoryEnd) DstToBytes() []byte  { b, _ := e.MarshalBinary(); return b }
func (e memoryEnd) DstIP() netip.Addr   { return e.Addr() }
func (memoryEnd) SrcIP() netip.Addr     { return netip.Addr{} }
