package worker

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// After any row of changes the setup is what the engine has become.
func TestSetupFollowsWhatTheEngineDoes(t *testing.T) {
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := private.Public()
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(engine.Config{Private: private, Send: func(engine.Way, []byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	s := Setup{Private: Secret(private.Reveal()), Inside: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")}}
	publics := []key.Public{ours}
	var shared []key.Preshared
	for range 4 {
		k, err := key.NewPrivate(nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := k.Public()
		if err != nil {
			t.Fatal(err)
		}
		psk, err := key.NewPreshared(nil)
		if err != nil {
			t.Fatal(err)
		}
		publics, shared = append(publics, p), append(shared, psk)
	}
	shared = append(shared, key.Preshared{})
	r := rand.New(rand.NewPCG(1, 2))
	most := 0
	for n := range 3000 {
		c := tunnel.Change{Change: engine.Change{ReplacePeers: r.IntN(40) == 0}}
		for range 1 + r.IntN(3) {
			pc := engine.PeerChange{Public: publics[r.IntN(len(publics))], Remove: r.IntN(6) == 0, UpdateOnly: r.IntN(3) == 0, ReplaceAllowed: r.IntN(3) == 0}
			if r.IntN(2) == 0 {
				pc.Preshared = &shared[r.IntN(len(shared))]
			}
			if r.IntN(2) == 0 {
				d := time.Duration(r.IntN(9)) * time.Second
				pc.Keepalive = &d
			}
			for range r.IntN(4) {
				pc.Allowed = append(pc.Allowed, engine.AllowedChange{Prefix: netip.MustParsePrefix(fmt.Sprintf("10.8.0.%d/%d", 16*r.IntN(4), 28+r.IntN(3))), Remove: r.IntN(4) == 0})
			}
			c.Peers = append(c.Peers, pc)
		}
		if err := s.Permit(c); err != nil {
			t.Fatal(err)
		}
		if err := e.Apply(time.Duration(n)*time.Second, c.Change); err != nil {
			t.Fatal(err)
		}
		if err := s.Follow(newChange(c)); err != nil {
			t.Fatal(err)
		}
		want, have := map[string]string{}, map[string]string{}
		psk := e.Preshared()
		for _, p := range e.Peers() {
			text := Secret("")
			if k, ok := psk[p.Public]; ok {
				text = Secret(k.Reveal())
			}
			slices.SortFunc(p.Allowed, netip.Prefix.Compare)
			want[p.Public.String()] = string(text) + fmt.Sprint(p.Keepalive, p.Allowed)
		}
		for _, p := range s.Peers {
			p.Allowed = slices.SortedFunc(slices.Values(p.Allowed), netip.Prefix.Compare)
			have[p.Public.String()] = string(p.Preshared) + fmt.Sprint(p.Keepalive, p.Allowed)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("after change %d the engine (-) and the setup (+) differ:\n%s", n, diff)
		}
		most = max(most, len(have))
	}
	if most != 4 {
		t.Errorf("there were never more than %d peers", most)
	}
}

func TestPermitRefusesWhatTheSealDoesNotCover(t *testing.T) {
	private, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, err := key.NewPrivate(nil)
	if err != nil {
		t.Fatal(err)
	}
	at, away := netip.MustParseAddrPort("203.0.113.10:1194"), netip.MustParseAddrPort("203.0.113.10:1195")
	s := Setup{Private: Secret(private.Reveal()), Port: 51820, Mark: 7, Inside: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")}, Sealed: []netip.AddrPort{at}}
	peer := func(p engine.PeerChange) (c tunnel.Change) {
		p.Public = key.Public{1}
		c.Peers = []engine.PeerChange{p}
		return c
	}
	allow := func(s string) tunnel.Change {
		return peer(engine.PeerChange{Allowed: []engine.AllowedChange{{Prefix: netip.MustParsePrefix(s)}}})
	}
	port, otherPort, mark, otherMark := uint16(51820), uint16(51821), uint32(7), uint32(0)
	for _, c := range []struct {
		name   string
		change tunnel.Change
		says   string // empty: permitted
	}{
		{"the same key", tunnel.Change{Change: engine.Change{Private: &private}}, ""},
		{"another key", tunnel.Change{Change: engine.Change{Private: &other}}, "its private key is that of its file"},
		{"the same port", tunnel.Change{ListenPort: &port}, ""},
		{"another port", tunnel.Change{ListenPort: &otherPort}, "its port is that of its file"},
		{"the same mark", tunnel.Change{FwMark: &mark}, ""},
		{"no mark", tunnel.Change{FwMark: &otherMark}, "its mark is that of its file"},
		{"a sealed endpoint", peer(engine.PeerChange{Endpoint: &at}), ""},
		{"another endpoint", peer(engine.PeerChange{Endpoint: &away}), "cannot be at 203.0.113.10:1195"},
		{"a removal", peer(engine.PeerChange{Endpoint: &away, Remove: true}), ""},
		{"pins", peer(engine.PeerChange{Pinned: &[]netip.AddrPort{at}}), "its peers' places"},
		{"an address inside", allow("10.8.0.7/32"), ""},
		{"an address outside", allow("10.9.0.7/32"), "cannot get 10.9.0.7/32"},
		{"more than inside", allow("10.8.0.0/23"), "cannot get 10.8.0.0/23"},
	} {
		err := s.Permit(c.change)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	// What a worker tells is judged again, and nothing of it is kept.
	bad := newChange(peer(engine.PeerChange{Endpoint: &away}))
	text := Secret("nonsense")
	for _, c := range []Change{bad, {Peers: []PeerChange{{Public: key.Public{1}, Preshared: &text}}}} {
		if err := s.Follow(c); err == nil || len(s.Peers) > 0 {
			t.Errorf("%v, %d peers", err, len(s.Peers))
		}
	}
}
