package engine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/noise"
)

// known reads a peer's status; ok is false if there is none.
func (h *host) known(k key.Public) (PeerStatus, bool) {
	for _, p := range h.Peers() {
		if p.Public == k {
			return p, true
		}
	}
	return PeerStatus{}, false
}

func (h *host) change(c Change) {
	h.w.t.Helper()
	if err := h.Apply(h.w.now, c); err != nil {
		h.w.t.Fatal(err)
	}
}

func publicOf(t *testing.T) key.Public {
	t.Helper()
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	public, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func TestChangesKeepWhatTheyDoNotName(t *testing.T) {
	w, a, b := pair(t, 20)
	a.says(b, 1)
	b.heard(1)
	before, _ := a.known(b.Public())
	keepalive := 25 * time.Second
	a.change(Change{Peers: []PeerChange{{Public: b.Public(), Keepalive: &keepalive, Allowed: []AllowedChange{{Prefix: netip.MustParsePrefix("10.9.0.0/16")}}}}})
	after, ok := a.known(b.Public())
	if !ok || after.Keepalive != keepalive || after.Endpoint != before.Endpoint || after.LastHandshake != before.LastHandshake || len(after.Allowed) != 2 {
		t.Errorf("status %+v", after)
	}
	w.forget()
	a.says(b, 2)
	b.heard(2)
	if n := w.count(noise.TypeInitiation); n != 0 {
		t.Errorf("the session did not stay: %d handshakes", n)
	}
	a.change(Change{Peers: []PeerChange{{Public: b.Public(), Allowed: []AllowedChange{{Prefix: netip.MustParsePrefix("10.0.0.2/32"), Remove: true}}}}})
	if after, _ := a.known(b.Public()); len(after.Allowed) != 1 || after.Allowed[0] != netip.MustParsePrefix("10.9.0.0/16") {
		t.Errorf("allowed %v", after.Allowed)
	}
}

func TestChangesFollowInTurn(t *testing.T) {
	_, a, b := pair(t, 21)
	x, y := publicOf(t), publicOf(t)
	prefix := []AllowedChange{{Prefix: netip.MustParsePrefix("10.7.0.0/16")}}
	a.change(Change{Peers: []PeerChange{
		{Public: x, Allowed: prefix}, {Public: y, Allowed: prefix}, // the last who asks has it
		{Public: a.Public(), Allowed: prefix},    // ourselves: passed over
		{Public: publicOf(t), UpdateOnly: true},  // not there
		{Public: publicOf(t), Remove: true},      // not there
		{Public: b.Public(), Remove: true},       // there
		{Public: b.Public(), UpdateOnly: true},   // not there any more
		{Public: key.Public{}, UpdateOnly: true}, // no key, but passed over as well
		{Public: x, Remove: true}, {Public: x},   // made anew
		{Public: x, Allowed: []AllowedChange{{Prefix: netip.MustParsePrefix("10.7.0.0/16"), Remove: true}}}, // y's stays
	}})
	px, okX := a.known(x)
	py, okY := a.known(y)
	if len(a.Peers()) != 2 || !okX || !okY || len(px.Allowed) != 0 || len(py.Allowed) != 1 {
		t.Errorf("peers %+v", a.Peers())
	}
}

func TestFailedChangesChangeNothing(t *testing.T) {
	w, a, b := pair(t, 22)
	a.says(b, 1)
	b.heard(1)
	before, _ := a.known(b.Public())
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	psk, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	ours := a.Public()
	bad := func(end string) *netip.AddrPort { x := netip.MustParseAddrPort(end); return &x }
	long, negative := 65536*time.Second, -time.Second
	good := []PeerChange{{Public: b.Public(), Preshared: &psk, ReplaceAllowed: true}, {Public: publicOf(t), Allowed: []AllowedChange{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}}}
	for want, last := range map[string]PeerChange{
		"low order":                     {},
		"no address and port":           {Public: publicOf(t), Endpoint: bad("0.0.0.0:1")},
		`"192.0.2.1:0"`:                 {Public: publicOf(t), Endpoint: bad("192.0.2.1:0")},
		`"[fe80::1%eth0]:1"`:            {Public: publicOf(t), Endpoint: bad("[fe80::1%eth0]:1")},
		"18h12m16s is not from 0":       {Public: publicOf(t), Keepalive: &long},
		"-1s is not from 0":             {Public: publicOf(t), Keepalive: &negative},
		`"invalid Prefix" is no prefix`: {Public: publicOf(t), Allowed: []AllowedChange{{}}},
	} {
		for _, replace := range []bool{false, true} {
			err := a.Apply(w.now, Change{Private: &private, ReplacePeers: replace, Peers: append(good[:2:2], last)})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
	}
	if err := a.Apply(w.now, Change{Private: new(key.Private), ReplacePeers: true}); err == nil {
		t.Error("an engine without a private key")
	}
	after, _ := a.known(b.Public())
	if len(a.Peers()) != 1 || a.Public() != ours || after.Preshared || len(after.Allowed) != 1 || after.LastHandshake != before.LastHandshake {
		t.Errorf("peers %+v", a.Peers())
	}
	w.forget()
	a.says(b, 2)
	b.heard(2)
	if n := w.count(noise.TypeInitiation); n != 0 {
		t.Errorf("%d handshakes", n)
	}
}

func TestANewPrivateKeyEndsSessionsAndShakesHandsAgain(t *testing.T) {
	w, a, b := pair(t, 23)
	a.says(b, 1)
	b.heard(1)
	private, err := key.NewPrivate(source{w.hosts[0].config.Random.(source).ChaCha8})
	if err != nil {
		t.Fatal(err)
	}
	old := a.Public()
	same := a.private
	a.change(Change{Private: &same})
	w.forget()
	a.says(b, 2)
	b.heard(2)
	if w.count(noise.TypeInitiation) != 0 {
		t.Error("our own key again ended the session")
	}
	a.change(Change{Private: &private})
	if got := a.Engine.Private(); !got.Equal(private) || a.Public() == old {
		t.Error("the key is not the new one")
	}
	if err := a.Transmit(w.now, packet(a.inner, b.inner, 60, 3)); err != nil {
		t.Fatal(err)
	}
	w.settle()
	b.heard() // b does not know the new key
	b.change(Change{Peers: []PeerChange{{Public: old, Remove: true}, {Public: a.Public(), Allowed: []AllowedChange{{Prefix: netip.MustParsePrefix("10.0.0.1/32")}}}}})
	w.pass(7 * time.Second)
	b.heard(3)
	// A peer that has our new public key cannot stay.
	secret := b.private
	a.change(Change{Private: &secret})
	if _, ok := a.known(b.Public()); ok || len(a.Peers()) != 0 || len(a.indices) != 0 {
		t.Errorf("peers %+v", a.Peers())
	}
}

func TestReplacedPeersCannotBeMovedByOldInitiations(t *testing.T) {
	w, a, b := pair(t, 24)
	a.says(b, 1)
	b.heard(1)
	var old datagram
	for _, d := range w.seen {
		if noise.Kind(d.data) == noise.TypeInitiation {
			old = d
		}
	}
	b.change(Change{ReplacePeers: true, Peers: []PeerChange{{Public: a.Public(), Allowed: []AllowedChange{{Prefix: netip.MustParsePrefix("10.0.0.1/32")}}}}})
	if p, ok := b.known(a.Public()); !ok || !p.LastHandshake.IsZero() || p.Endpoint.IsValid() {
		t.Errorf("the peer was not made anew: %+v", p)
	}
	w.now += time.Second
	old.from = netip.MustParseAddrPort("198.51.100.9:9")
	b.take(old)
	if p, _ := b.known(a.Public()); p.Endpoint.IsValid() {
		t.Errorf("a replayed initiation moved the peer to %s", p.Endpoint)
	}
	// The true one comes back at once.
	a.change(Change{ReplacePeers: true, Peers: []PeerChange{{Public: b.Public(), Endpoint: &b.addr, Allowed: []AllowedChange{{Prefix: netip.MustParsePrefix("10.0.0.2/32")}}}}})
	a.says(b, 2)
	b.heard(2)
}

func TestAPresharedKeyCountsFromTheNextHandshake(t *testing.T) {
	w, a, b := pair(t, 25)
	a.says(b, 1)
	b.heard(1)
	psk, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*host{a, b} {
		other := map[*host]*host{a: b, b: a}[h]
		h.change(Change{Peers: []PeerChange{{Public: other.Public(), Preshared: &psk}}})
		if got, ok := h.Preshared()[other.Public()]; !ok || !got.Equal(psk) {
			t.Error("the preshared key is another")
		}
	}
	w.forget()
	a.says(b, 2)
	b.heard(2)
	if w.count(noise.TypeInitiation) != 0 {
		t.Error("the session ended")
	}
	w.pass(130 * time.Second)
	a.says(b, 3)
	b.heard(3)
	if w.count(noise.TypeResponse) == 0 {
		t.Error("no handshake with the new key")
	}
	none := key.Preshared{}
	a.change(Change{Peers: []PeerChange{{Public: b.Public(), Preshared: &none}}})
	if len(a.Preshared()) != 0 {
		t.Error("the preshared key stayed")
	}
}

func TestANewEndpointOfAPinnedPeerIsItsOnlyOne(t *testing.T) {
	w, a, b := pair(t, 26)
	pins := []netip.AddrPort{b.addr}
	a.change(Change{Peers: []PeerChange{{Public: b.Public(), Pinned: &pins}}})
	a.says(b, 1)
	b.heard(1)
	moved := netip.MustParseAddrPort("198.51.100.7:7")
	a.change(Change{Peers: []PeerChange{{Public: b.Public(), Endpoint: &moved}}})
	b.says(a, 2) // from where it was
	a.heard(2)
	if p, _ := a.known(b.Public()); p.Endpoint != moved {
		t.Errorf("the peer went back to %s", p.Endpoint)
	}
	b.addr = moved
	a.says(b, 3)
	b.heard(3)
	w.settle()
}
