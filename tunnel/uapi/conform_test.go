package uapi

import (
	"cmp"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.zx2c4.com/wireguard/conn"
	theirs "golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// onlyEngine is a device without a network.
type onlyEngine struct{ *engine.Engine }

func (d onlyEngine) Export() (tunnel.Export, error) {
	return tunnel.Export{Status: tunnel.Status{Public: d.Public(), Peers: d.Peers()}, Private: d.Private(), Preshared: d.Preshared()}, nil
}

func (d onlyEngine) Apply(c tunnel.Change) error { return d.Engine.Apply(time.Hour, c.Change) }

// wishes makes random changes of few keys and prefixes, so that they meet.
type wishes struct {
	*rand.Rand
	private []key.Private
	public  []key.Public // of private, and others
}

func newWishes(t *testing.T, seed uint64) *wishes {
	t.Helper()
	w := &wishes{Rand: rand.New(rand.NewPCG(seed, 5))}
	for i := range 6 {
		private, public := newKey(t)
		if i < 2 {
			w.private = append(w.private, private)
		}
		w.public = append(w.public, public)
	}
	return w
}

func (w *wishes) change() (c tunnel.Change) {
	if w.IntN(12) == 0 {
		c.Private = &w.private[w.IntN(len(w.private))]
	}
	c.ReplacePeers = w.IntN(10) == 0
	for range w.IntN(5) {
		c.Peers = append(c.Peers, w.peer())
	}
	return c
}

func (w *wishes) peer() engine.PeerChange {
	p := engine.PeerChange{Public: w.public[w.IntN(len(w.public))], Remove: w.IntN(8) == 0, UpdateOnly: w.IntN(5) == 0, ReplaceAllowed: w.IntN(4) == 0}
	if w.IntN(3) == 0 {
		psk := key.PresharedFrom([key.Size]byte{byte(w.IntN(3))})
		p.Preshared = &psk
	}
	if w.IntN(3) == 0 {
		end := netip.AddrPortFrom([]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}[w.IntN(2)], uint16(1+w.IntN(2)))
		p.Endpoint = &end
	}
	if w.IntN(3) == 0 {
		d := time.Duration(w.IntN(3)) * 1000 * time.Second
		p.Keepalive = &d
	}
	for range w.IntN(4) {
		a := []netip.Addr{netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("10.1.128.3"), netip.MustParseAddr("fd00::1")}[w.IntN(3)]
		prefix := netip.PrefixFrom(a, []int{0, 8, 16, 17, 32}[w.IntN(5)]).Masked()
		p.Allowed = append(p.Allowed, engine.AllowedChange{Prefix: prefix, Remove: w.IntN(4) == 0})
	}
	return p
}

// told is what a device tells, in one order.
func told(t *testing.T, c net.Conn) tunnel.Status {
	t.Helper()
	st, err := Get(c)
	if err != nil {
		t.Fatal(err)
	}
	st.ListenPort = 0
	slices.SortFunc(st.Peers, func(a, b engine.PeerStatus) int { return cmp.Compare(a.Public.String(), b.Public.String()) })
	for i := range st.Peers {
		slices.SortFunc(st.Peers[i].Allowed, func(a, b netip.Prefix) int { return cmp.Compare(a.String(), b.String()) })
	}
	return st
}

// Whatever is asked of ours and of wireguard-go's device in turn: both tell the
// same afterwards. Our client speaks to both.
func TestOursAndTheirsUnderstandTheSame(t *testing.T) {
	for seed := range uint64(20) {
		w := newWishes(t, seed)
		e, err := engine.New(engine.Config{Private: w.private[0], Send: func(engine.Way, []byte) {}})
		if err != nil {
			t.Fatal(err)
		}
		ours := serve(t, &Server{Device: onlyEngine{e}, Permit: Any, Admit: admitted})()
		defer ours.Close()
		d := theirs.NewDevice(tuntest.NewChannelTUN().TUN(), conn.NewDefaultBind(), theirs.NewLogger(theirs.LogLevelSilent, "wireguard-go: "))
		other, end := net.Pipe()
		go d.IpcHandle(end)
		if err := Set(other, tunnel.Change{Change: engine.Change{Private: &w.private[0]}}); err != nil {
			t.Fatal(err)
		}
		most := 0
		for step := range 60 {
			c := w.change()
			if err := Set(ours, c); err != nil {
				t.Fatalf("seed %d, step %d: ours: %v", seed, step, err)
			}
			if err := Set(other, c); err != nil {
				t.Fatalf("seed %d, step %d: theirs: %v", seed, step, err)
			}
			a, b := told(t, ours), told(t, other)
			if diff := gocmp.Diff(b, a, equal, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("seed %d, step %d: %s\nafter %s", seed, step, diff, appendSet(nil, c))
			}
			most = max(most, len(a.Peers))
		}
		if most < 3 {
			t.Errorf("seed %d: there never were more than %d peers", seed, most)
		}
		other.Close()
		d.Close()
	}
}
