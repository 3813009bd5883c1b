package interop

import (
	"encoding/hex"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"

	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
)

// listen gives ours a socket on loopback; calling it again is roaming, and the
// old one is closed.
func (o *ours) listen(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	o.do(func() {
		if o.socket != nil {
			o.socket.Close()
		}
		o.socket = c
		o.send = func(to netip.AddrPort, data []byte) {
			if _, err := c.WriteToUDPAddrPort(data, to); err != nil {
				t.Logf("send to %s: %v", to, err)
			}
		}
	})
	go func() {
		buf := make([]byte, 65536)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			o.receive(from, buf[:n])
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestBothRolesRoamingAndRekeyOverUDP(t *testing.T) {
	o := newOurs(t, 0)
	first := o.listen(t)
	w := newTheirs(t, conn.NewDefaultBind())
	psk := newPreshared(t)
	w.knows(t, o, psk, "")
	theirs := netip.MustParseAddrPort("127.0.0.1:" + w.state(t, "listen_port"))
	meet(t, o, w, engine.PeerConfig{Preshared: psk, Endpoint: theirs})

	exchange := func(n uint64, what string) {
		t.Helper()
		o.say(t, n)
		if !w.got(n) {
			t.Fatalf("%s: they did not hear us", what)
		}
		w.say(n)
		if !o.got(n) {
			t.Fatalf("%s: we did not hear them", what)
		}
	}
	exchange(1, "as initiator")
	if at := w.state(t, "endpoint"); at != first.String() {
		t.Errorf("they know us at %s, want %s", at, first)
	}
	second := o.listen(t)
	exchange(2, "after we roamed")
	if at := w.state(t, "endpoint"); at != second.String() || first == second {
		t.Errorf("they know us at %s, want %s", at, second)
	}
	// They roam: a new port, and the first word is theirs.
	w.set(t, "listen_port=0")
	w.say(3)
	if !o.got(3) {
		t.Fatal("after they roamed we did not hear them")
	}
	exchange(4, "after they roamed")
	// Our clock jumps to the time of rekeying while packets flow.
	before := o.count(o.sent, noise.TypeInitiation)
	o.skip(121 * time.Second)
	for n := range uint64(50) {
		exchange(10+n, "while rekeying")
	}
	if after := o.count(o.sent, noise.TypeInitiation); after != before+1 {
		t.Errorf("%d handshakes after 121 s, want 1", after-before)
	}
	// As responder: our engine forgets the peer, theirs must begin.
	o.do(func() { o.engine.RemovePeer(w.public) })
	meet(t, o, w, engine.PeerConfig{Preshared: psk})
	at := o.count(o.received, noise.TypeInitiation)
	w.set(t, "private_key="+w.state(t, "private_key")) // ends their sessions
	time.Sleep(50 * time.Millisecond)
	w.knows(t, o, psk, second.String())
	if err := w.Down(); err != nil {
		t.Fatal(err)
	}
	if err := w.Up(); err != nil {
		t.Fatal(err)
	}
	w.say(100)
	if !o.got(100) {
		t.Fatal("as responder: we did not hear them")
	}
	exchange(101, "as responder")
	if o.count(o.received, noise.TypeInitiation) == at {
		t.Error("they began no handshake")
	}
	if o.bad != 0 || w.bad != 0 {
		t.Errorf("%d and %d packets were altered", o.bad, w.bad)
	}
}

// Either end is told where the other went, before it hears of it.
func TestEndpointsMayBeChangedOverUDP(t *testing.T) {
	o := newOurs(t, 0)
	o.listen(t)
	w := newTheirs(t, conn.NewDefaultBind())
	w.knows(t, o, key.Preshared{}, "")
	at := func() netip.AddrPort { return netip.MustParseAddrPort("127.0.0.1:" + w.state(t, "listen_port")) }
	first := at()
	meet(t, o, w, engine.PeerConfig{Endpoint: first})
	o.say(t, 1)
	if !w.got(1) {
		t.Fatal("no session")
	}
	w.set(t, "listen_port=0")
	o.say(t, 2)
	time.Sleep(200 * time.Millisecond)
	if at() == first || w.count(2) != 0 {
		t.Fatal("control: they are still where they were")
	}
	meet(t, o, w, engine.PeerConfig{Endpoint: at()})
	o.say(t, 3)
	if !w.got(3) {
		t.Error("we were told where they are, and they did not hear us")
	}
	second := o.listen(t)
	w.say(4)
	time.Sleep(200 * time.Millisecond)
	if o.has(4) {
		t.Fatal("control: we are still where we were")
	}
	public := o.engine.Public()
	w.set(t, "public_key="+hex.EncodeToString(public[:]), "endpoint="+second.String())
	w.say(5)
	if !o.got(5) {
		t.Error("they were told where we are, and we did not hear them")
	}
	if n := o.count(o.sent, noise.TypeInitiation); n != 1 {
		t.Errorf("%d handshakes, want the first alone", n)
	}
}

// Millions of bytes each way at once, none lost for lack of keys or altered.
func TestBulkBothWaysOverUDPIsUnaltered(t *testing.T) {
	o := newOurs(t, 0)
	o.listen(t)
	w := newTheirs(t, conn.NewDefaultBind())
	w.knows(t, o, key.Preshared{}, "")
	meet(t, o, w, engine.PeerConfig{Endpoint: netip.MustParseAddrPort("127.0.0.1:" + w.state(t, "listen_port"))})
	o.say(t, 1)
	if !w.got(1) {
		t.Fatal("no session")
	}
	const n, window = 20000, 64 // a window, so that no socket buffer overflows
	for first := uint64(2); first < n; first += window {
		for i := range uint64(window) {
			o.say(t, first+i)
			w.say(first + i)
		}
		for i := range uint64(window) {
			if !w.got(first+i) || !o.got(first+i) {
				t.Fatalf("packet %d is missing", first+i)
			}
		}
	}
	if o.bad != 0 || w.bad != 0 {
		t.Errorf("%d and %d packets were altered", o.bad, w.bad)
	}
}
