package tunnel_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
)

func splitLines(s string) (out [][]string) {
	for line := range strings.Lines(s) {
		out = append(out, strings.Fields(line))
	}
	return out
}

// delivered is how many packets came out of the tunnel.
func (p *place) delivered(t testing.TB) (n int) {
	t.Helper()
	for _, f := range splitLines(p.run("cat", "/proc/net/dev")) {
		if len(f) > 2 && f[0] == "own0:" {
			if _, err := fmt.Sscan(f[2], &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("no device own0")
	return 0
}

func descriptors(t testing.TB, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// An attacker on the path floods one end with all that it can make: nothing
// is accepted, nothing grows, and the true peer still gets through.
func TestAFloodChangesNothing(t *testing.T) {
	a, b := places(t, 1500)
	enemy := a.attack()
	_, eb := tunnels(t, a, b, 0, engine.DefaultMTU, tunnel.Without{}, tunnel.Without{})
	echo := func() {
		t.Helper()
		if r := a.traffic(trafficOrder{Kind: "echo", Addr: netip.AddrPortFrom(b.in[0], 0), Seed: 3, Lasts: 200 * time.Millisecond}).result(); r.Good < 10 {
			t.Fatalf("%d of %d echoes came back", r.Good, r.Good+r.Bad)
		}
	}
	a.run("busybox", "ping", "-q", "-c", "1", "-W", "7", b.in[0].String())
	echo()
	order := floodOrder{Victim: netip.AddrPortFrom(b.wire[0], 51820), Public: eb.status().Public, Rate: 20000, Lasts: 300 * time.Millisecond}
	enemy.flood(order) // once before, so that all storage is in use
	enemy.sent()

	before, packets, arrived := eb.status(), b.delivered(t), b.datagramsIn(t)
	use, files := eb.storage(), descriptors(t, eb.pid())
	order.Lasts = 1500 * time.Millisecond
	enemy.flood(order)
	sent := enemy.sent()
	time.Sleep(100 * time.Millisecond)
	after := eb.status()
	total := 0
	for _, kind := range floodKinds {
		if sent[kind] < 500 {
			t.Errorf("control: only %d datagrams of kind %q were sent", sent[kind], kind)
		}
		total += sent[kind]
	}
	if got := b.datagramsIn(t) - arrived; got < total/2 {
		t.Errorf("control: %d of %d datagrams reached the tunnel", got, total)
	}
	if x, y := before.Peers[0], after.Peers[0]; x.RxBytes != y.RxBytes || x.Endpoint != y.Endpoint || !x.LastHandshake.Equal(y.LastHandshake) {
		t.Errorf("something of the flood was accepted:\n%+v\n%+v", x, y)
	}
	if now := b.delivered(t); now != packets {
		t.Errorf("%d packets of the flood came out of the tunnel", now-packets)
	}
	if now := eb.storage(); now.Heap > use.Heap+64<<10 || now.Goroutines != use.Goroutines {
		t.Errorf("after %d datagrams %+v are in use, before %+v", total, now, use)
	}
	if peak := memory(t, eb.pid(), "VmHWM"); peak > 32 {
		t.Errorf("%.1f MiB are resident", peak) // half of it is this test's program
	}
	// Most of the strangers' addresses are nobody's: the kernel keeps answers to
	// them for seconds.
	if after.Drops.Unanswered == before.Drops.Unanswered || after.Drops.Unsent != before.Drops.Unsent {
		t.Errorf("answers to strangers may fill the socket: %+v, before %+v", after.Drops, before.Drops)
	}
	if now := descriptors(t, eb.pid()); now != files {
		t.Errorf("%d descriptors, before %d", now, files)
	}

	enemy.flood(order)
	echo() // while it lasts
	enemy.sent()
	if st := eb.status(); st.Peers[0].RxBytes == after.Peers[0].RxBytes || b.delivered(t) == packets {
		t.Error("control: what the true peer sends is not counted")
	}
	t.Logf("%d datagrams of %v; %+v", total, sent, after.Drops)
}
