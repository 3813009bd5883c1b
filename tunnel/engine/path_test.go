package engine

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/pmtu"
)

// probing makes the hosts of a world search, over a path of mtu.
func probing(w *world, mtu *int) {
	for _, h := range w.hosts {
		h.config.Probe, h.auto = true, true
		h.out, h.content = make([]byte, 10000), make([]byte, 10000)
	}
	w.carry = func(d datagram) []datagram {
		if len(d.data)+28 > *mtu {
			return nil
		}
		return []datagram{d}
	}
}

// shared makes two hosts that search and talk.
func shared(t *testing.T, seed byte, mtu *int) (w *world, a, b *host) {
	w = newWorld(t, 2, seed)
	probing(w, mtu)
	a, b = w.hosts[0], w.hosts[1]
	a.knows(b, func(c *PeerConfig) { c.Endpoint = b.addr })
	b.knows(a, func(*PeerConfig) {})
	a.says(b, 1)
	b.heard(1)
	return w, a, b
}

func (h *host) peer(o *host) *Peer { return h.peers[o.Public()] }

func TestOverheadIs60BytesOnIPv4And80OnIPv6(t *testing.T) {
	for _, c := range []struct {
		to          string
		outer, want int
	}{{"192.0.2.9:1", 28, 60}, {"[::ffff:192.0.2.9]:1", 28, 60}, {"[2001:db8::9]:1", 48, 80}} {
		w, a, b := pair(t, 90)
		a.says(b, 1)
		b.heard(1)
		to := netip.MustParseAddrPort(c.to)
		if got := Overhead(to.Addr()); got != c.want {
			t.Errorf("%s: %d", to, got)
		}
		a.peer(b).endpoint = to
		w.forget()
		// The largest packet has no padding, so this is all that is added.
		if err := a.Transmit(w.now, packet(a.inner, b.inner, DefaultMTU, 2)); err != nil {
			t.Fatal(err)
		}
		if got := len(w.seen[0].data) + c.outer - DefaultMTU; got != c.want {
			t.Errorf("%s: a packet of %d bytes has %d around it, want %d", to, DefaultMTU, got, c.want)
		}
	}
}

func TestEnginesFindThePathsMTU(t *testing.T) {
	mtu := 1380
	w, a, b := shared(t, 91, &mtu)
	w.pass(10 * time.Second)
	for _, h := range []*host{a, b} {
		if h.MTU() != 1320 {
			t.Errorf("MTU %d, want 1320", h.MTU())
		}
	}
	if err := a.Transmit(w.now, packet(a.inner, b.inner, 1321, 2)); err == nil {
		t.Error("a packet that is too long was sent")
	}
	if err := a.Transmit(w.now, packet(a.inner, b.inner, 1320, 3)); err != nil {
		t.Error(err)
	}
	w.settle()
	b.heard(3)
	st := a.Peers()[0]
	if st.MTU != 1320 || !st.Probed || !st.Proved {
		t.Errorf("%+v", st)
	}
	// Nothing of it is heard by the hosts, and an idle tunnel is idle.
	w.pass(20 * time.Second)
	w.forget()
	w.pass(70 * time.Second)
	if n := w.count(noise.TypeTransport); n != 0 {
		t.Errorf("%d packets in an idle tunnel", n)
	}
}

func TestSmallestPathDecidesForTheDevice(t *testing.T) {
	mtu := 9000
	w := newWorld(t, 3, 92)
	probing(w, &mtu)
	all := w.carry
	w.carry = func(d datagram) []datagram {
		if (d.to == w.hosts[2].addr || d.from == w.hosts[2].addr) && len(d.data)+28 > 1300 {
			return nil
		}
		return all(d)
	}
	a := w.hosts[0]
	for i, h := range w.hosts[1:] {
		a.knows(h, func(c *PeerConfig) { c.Endpoint = h.addr })
		h.knows(a, func(*PeerConfig) {})
		a.says(h, uint64(i))
		w.pass(10 * time.Second)
	}
	if a.Limit(a.peer(w.hosts[1])) != 8940 || a.Limit(a.peer(w.hosts[2])) != 1240 || a.MTU() != 1240 {
		t.Errorf("limits %d and %d, MTU %d", a.Limit(a.peer(w.hosts[1])), a.Limit(a.peer(w.hosts[2])), a.MTU())
	}
	a.knows(w.hosts[2], func(c *PeerConfig) { c.Allowed = append(c.Allowed, netip.MustParsePrefix("fd00::/64")) })
	if a.MTU() != 1280 {
		t.Errorf("MTU %d takes IPv6 from the device", a.MTU())
	}
	a.RemovePeer(w.hosts[2].Public())
	if a.MTU() != 8940 {
		t.Errorf("MTU %d after the narrow peer has gone", a.MTU())
	}
}

// Only who sees the packets can lower the MTU, and nobody below the floor.
func TestForgedFragmentationNeededIsNotBelieved(t *testing.T) {
	mtu := 1500
	w, a, b := shared(t, 93, &mtu)
	w.pass(10 * time.Second)
	w.forget()
	a.says(b, 2)
	b.heard(2)
	sent := w.seen[0].data
	change := func(at int, with byte) []byte {
		q := bytes.Clone(sent)
		q[at] ^= with
		return q
	}
	far := bytes.Clone(sent)
	noise.PutHeader(far, noise.Receiver(sent), noise.Counter(sent)+1<<30)
	for name, f := range map[string]func(){
		"another index":        func() { a.TooBig(w.now, b.addr, 1300, false, change(4, 1)) },
		"a counter to come":    func() { a.TooBig(w.now, b.addr, 1300, false, far) },
		"another message":      func() { a.TooBig(w.now, b.addr, 1300, false, change(0, 1)) },
		"too short a quote":    func() { a.TooBig(w.now, b.addr, 1300, false, sent[:15]) },
		"no quote":             func() { a.TooBig(w.now, b.addr, 1300, false, nil) },
		"no size":              func() { a.TooBig(w.now, b.addr, 0, false, sent) },
		"another peer's host":  func() { a.TooBig(w.now, netip.MustParseAddrPort("192.0.2.77:1"), 1300, false, sent) },
		"another port":         func() { a.TooBig(w.now, netip.AddrPortFrom(b.addr.Addr(), 9), 1300, false, sent) },
		"a host that is silly": func() { a.TooBig(w.now, b.addr, 0, true, nil) },
	} {
		f()
		w.pass(2 * time.Second)
		if a.MTU() != 1440 {
			t.Errorf("%s: MTU %d", name, a.MTU())
		}
	}
	a.TooBig(w.now, b.addr, 1400, false, sent[:noise.HeaderSize])
	if a.MTU() != 1340 {
		t.Errorf("a router that quotes what was sent was not believed: MTU %d", a.MTU())
	}
	a.TooBig(w.now, b.addr, 68, false, sent)
	if a.MTU() != pmtu.Floor-60 {
		t.Errorf("MTU %d, the floor is %d", a.MTU(), pmtu.Floor-60)
	}
}

func TestPeerThatMovesHasAnotherPath(t *testing.T) {
	mtu := 1300
	w, a, b := shared(t, 94, &mtu)
	w.pass(10 * time.Second)
	if b.MTU() != 1240 {
		t.Fatalf("MTU %d", b.MTU())
	}
	mtu = 1500
	a.addr = netip.MustParseAddrPort("192.0.2.201:9")
	a.says(b, 2)
	b.heard(2)
	w.pass(5 * time.Second)
	if b.MTU() != 1440 {
		t.Errorf("MTU %d on the new path, want 1440", b.MTU())
	}
}

// A peer that knows no probes gets a few, which it drops as it drops what is no
// packet, and the usual MTU.
func TestStockPeerIsBelievedToTakeTheUsual(t *testing.T) {
	mtu := 1500
	w, a, b := shared(t, 95, &mtu)
	w.queue = nil
	a.peer(b).path = pmtu.New(a.limits(b.addr.Addr()))
	forget := w.carry
	w.carry = func(d datagram) []datagram { // acknowledgements do not arrive
		if d.from == b.addr && len(d.data) == noise.TransportSize+pmtu.MessageSize {
			return nil
		}
		return forget(d)
	}
	a.peer(b).began(w.now)
	w.forget()
	w.pass(5 * time.Second)
	probes := 0
	for _, d := range w.seen {
		if d.from == a.addr && len(d.data) > 1000 {
			probes++
		}
	}
	if probes != 3 || a.MTU() != DefaultMTU || a.Peers()[0].Probed {
		t.Errorf("%d probes, MTU %d", probes, a.MTU())
	}
	if n := len(b.delivered); n != 0 {
		t.Errorf("%d probes became packets", n)
	}
}

func TestGivenMTUIsTheMost(t *testing.T) {
	mtu := 9000
	w, a, b := shared(t, 96, &mtu)
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{Private: private, MTU: 1000, Probe: true, Send: func(Way, []byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	if e.MTU() != 1000 || e.SetPeer(w.now, PeerConfig{Public: b.Public(), Endpoint: b.addr, Allowed: []netip.Prefix{netip.MustParsePrefix("::/0")}}) != nil || e.MTU() != 1000 {
		t.Errorf("MTU %d", e.MTU())
	}
	a.auto, a.config.MTU = false, 1400
	a.peer(b).moved(w.now)
	w.pass(10 * time.Second)
	if a.MTU() != 1400 || !a.Peers()[0].Proved {
		t.Errorf("MTU %d, given was 1400", a.MTU())
	}
}

// A connection through the tunnel begins with what its path takes, whoever
// forwards it.
func TestSegmentSizeOfNewConnectionsFitsThePath(t *testing.T) {
	mtu := 1380
	w, a, b := shared(t, 97, &mtu)
	w.pass(10 * time.Second)
	syn := packet(a.inner, b.inner, 44, 0)
	syn[9], syn[32], syn[33] = 6, 6<<4, 2
	copy(syn[40:], []byte{2, 4, 1460 >> 8, 1460 & 0xff})
	if err := a.Transmit(w.now, syn); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if len(b.delivered) != 1 || !bytes.Equal(b.delivered[0][40:], []byte{2, 4, 1280 >> 8, 1280 & 0xff}) {
		t.Errorf("delivered %x, want a segment size of 1280", b.delivered)
	}
}
