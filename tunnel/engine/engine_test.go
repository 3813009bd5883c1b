package engine

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
)

func TestFirstPacketWaitsForTheHandshakeAndArrives(t *testing.T) {
	w, a, b := pair(t, 1)
	a.says(b, 7)
	b.heard(7)
	b.says(a, 8) // b knew no endpoint of a
	a.heard(8)
	if i, r, c := w.count(noise.TypeInitiation), w.count(noise.TypeResponse), w.count(noise.TypeTransport); i != 1 || r != 1 || c != 2 {
		t.Errorf("%d initiations, %d responses, %d transports", i, r, c)
	}
	for _, h := range w.hosts {
		if st := h.Peers()[0]; st.LastHandshake.IsZero() || st.RxBytes == 0 || st.TxBytes == 0 || !st.Endpoint.IsValid() {
			t.Errorf("status %+v", st)
		}
	}
}

func TestPresharedKeysMustAgree(t *testing.T) {
	w, a, b := pair(t, 2)
	psk, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	a.knows(b, func(c *PeerConfig) { c.Preshared, c.Endpoint = psk, b.addr })
	a.says(b, 1)
	b.heard()
	b.knows(a, func(c *PeerConfig) { c.Preshared = psk })
	w.pass(6 * time.Second)
	b.heard(1)
}

func TestPeersMayUseTheirOwnAddressesOnly(t *testing.T) {
	w, a, b := pair(t, 3)
	a.says(b, 1)
	b.heard(1)
	stolen := packet(netip.MustParseAddr("10.0.0.3"), b.inner, 60, 2)
	if err := a.Transmit(w.now, stolen); err != nil {
		t.Fatal(err)
	}
	w.settle()
	b.heard()
	if err := a.Transmit(w.now, packet(a.inner, netip.MustParseAddr("10.0.0.3"), 60, 2)); !errors.Is(err, ErrNoPeer) {
		t.Errorf("a packet to nobody's address: %v", err)
	}
	for _, bad := range [][]byte{nil, {0x45}, make([]byte, 100), append([]byte{0x65}, make([]byte, 30)...)} {
		if err := a.Transmit(w.now, bad); !errors.Is(err, ErrNoPacket) {
			t.Errorf("%x: %v", bad, err)
		}
	}
	if err := a.Transmit(w.now, packet(a.inner, b.inner, 1421, 2)); !errors.Is(err, ErrTooLong) {
		t.Errorf("a packet beyond the MTU: %v", err)
	}
	// A peer may lie about the length inside.
	for _, length := range []byte{19, 0, 200} {
		lie := packet(a.inner, b.inner, 60, 3)
		lie[2], lie[3] = 0, length
		if err := a.Transmit(w.now, lie); err != nil {
			t.Fatal(err)
		}
		w.settle()
		b.heard()
	}
}

func TestPaddingIsCutAndStaysWithinTheMTU(t *testing.T) {
	w, a, b := pair(t, 4)
	a.says(b, 0)
	b.heard(0)
	for size := 28; size <= DefaultMTU; size += 1 + size/40 {
		w.forget()
		p := packet(a.inner, b.inner, size, 5)
		if err := a.Transmit(w.now, p); err != nil {
			t.Fatal(err)
		}
		w.settle()
		if len(b.delivered) != 1 || !bytes.Equal(b.delivered[0], p) {
			t.Fatalf("%d bytes did not arrive as they were sent", size)
		}
		b.delivered = nil
		inside := len(w.seen[0].data) - 32
		if inside > DefaultMTU || inside%16 != 0 && inside != DefaultMTU || inside < size {
			t.Errorf("%d bytes travel as %d", size, inside)
		}
	}
}

func TestReplaysAndForgeriesAreNotDelivered(t *testing.T) {
	w, a, b := pair(t, 5)
	a.says(b, 1)
	for n := range uint64(50) {
		a.says(b, 2+n)
	}
	b.delivered = nil
	sent := len(w.seen)
	for _, d := range w.seen[:sent] {
		if d.to != b.addr {
			continue
		}
		b.take(datagram{0, d.from, d.to, bytes.Clone(d.data)})
		for bit := range 8 * len(d.data) {
			forged := bytes.Clone(d.data)
			forged[bit/8] ^= 1 << (bit % 8)
			b.take(datagram{0, d.from, d.to, forged})
		}
		for cut := range d.data {
			b.take(datagram{0, d.from, d.to, bytes.Clone(d.data[:cut])})
		}
	}
	b.heard()
	w.settle()
	a.says(b, 99)
	b.heard(99)
}

func TestRoamingFollowsAuthenticPacketsOnly(t *testing.T) {
	w, a, b := pair(t, 6)
	a.says(b, 1)
	b.heard(1)
	forged := bytes.Clone(w.seen[len(w.seen)-1].data)
	elsewhere := netip.MustParseAddrPort("198.51.100.7:7")
	b.take(datagram{0, elsewhere, b.addr, forged}) // a replay from elsewhere
	if got := b.Peers()[0].Endpoint; got != a.addr {
		t.Errorf("a replay moved the endpoint to %s", got)
	}
	a.addr = netip.MustParseAddrPort("[2001:db8::9]:9")
	a.says(b, 2)
	b.heard(2)
	b.says(a, 3)
	a.heard(3)
	if got := b.Peers()[0].Endpoint; got != a.addr {
		t.Errorf("the endpoint is %s, want %s", got, a.addr)
	}
}

func TestEnginesRefuseWhatProtectsNothing(t *testing.T) {
	_, a, b := pair(t, 7)
	if _, err := New(Config{Send: func(Way, []byte) {}}); err == nil {
		t.Error("an engine without a key")
	}
	var low key.Public // the point at infinity; and one of order 8
	if err := a.SetPeer(0, PeerConfig{Public: low}); err == nil || !strings.Contains(err.Error(), "low order") {
		t.Errorf("a key of low order: %v", err)
	}
	if err := a.SetPeer(0, PeerConfig{Public: a.Public()}); err == nil {
		t.Error("we are our own peer")
	}
	if out := fmt.Sprintf("%v %+v", a.Peers(), b.Engine.config); strings.Contains(out, a.private.Reveal()) {
		t.Error("a private key is printed")
	}
}

func TestRemovedPeersAreForgotten(t *testing.T) {
	w, a, b := pair(t, 8)
	a.says(b, 1)
	b.heard(1)
	b.RemovePeer(a.Public())
	a.says(b, 2)
	b.heard()
	w.pass(time.Minute)
	b.heard()
	if len(b.indices) != 0 || len(b.wakes) != 0 || len(b.Peers()) != 0 || b.staged != 0 {
		t.Errorf("%d indices, %d timers, %d bytes are left", len(b.indices), len(b.wakes), b.staged)
	}
	if err := b.Transmit(w.now, packet(b.inner, a.inner, 60, 3)); !errors.Is(err, ErrNoPeer) {
		t.Errorf("%v", err)
	}
}

func TestIPv6InsideAndOutside(t *testing.T) {
	w, a, b := pair(t, 9)
	in := netip.MustParseAddr("fd00::2")
	a.addr, b.addr = netip.MustParseAddrPort("[2001:db8::1]:1"), netip.MustParseAddrPort("[2001:db8::2]:1")
	a.knows(b, func(c *PeerConfig) { c.Endpoint = b.addr; c.Allowed = []netip.Prefix{netip.MustParsePrefix("::/0")} })
	b.knows(a, func(c *PeerConfig) { c.Allowed = []netip.Prefix{netip.MustParsePrefix("fd00::/64")} })
	p := make([]byte, 90)
	p[0], p[5], p[39] = 0x60, 50, 1
	copy(p[8:], netip.MustParseAddr("fd00::1").AsSlice())
	copy(p[24:], in.AsSlice())
	if err := a.Transmit(w.now, p); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if len(b.delivered) != 1 || !bytes.Equal(b.delivered[0], p) {
		t.Errorf("delivered %x", b.delivered)
	}
}
