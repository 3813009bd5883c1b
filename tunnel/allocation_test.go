package tunnel_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
)

// Neither end allocates for a packet, by whatever path: super-packets of TCP,
// runs of datagrams, single packets, question and answer.
func TestPacketsAllocateNothing(t *testing.T) {
	for name, without := range map[string]tunnel.Without{"all offloads": {}, "no offloads": {TUNHeader: true, UDPSegment: true, UDPGather: true}} {
		t.Run(name, func(t *testing.T) {
			a, b := places(t, 1500)
			ea, eb := tunnels(t, a, b, 0, engine.DefaultMTU, without, without)
			a.run("busybox", "ping", "-q", "-c", "1", "-W", "7", b.in[0].String())
			ends := []*end{ea, eb}
			var before [2]storage
			var bytes [2]uint64
			for i, e := range ends {
				st := e.status()
				bytes[i] = st.Peers[0].RxBytes + st.Peers[0].TxBytes
				e.storage() // the first answer costs more than all others
				before[i] = e.storage()
			}
			transfer(a, b, 2, 300*time.Millisecond)
			a.traffic(trafficOrder{Kind: "echo", Addr: netip.AddrPortFrom(b.in[0], 0), Seed: 1, Lasts: 300 * time.Millisecond}).result()
			addr := netip.AddrPortFrom(a.in[0], 7001)
			sink := a.traffic(trafficOrder{Kind: "count", Addr: addr, Bytes: 64})
			b.traffic(trafficOrder{Kind: "shoot", Addr: addr, Bytes: 64, Count: 50000, Lasts: 300 * time.Millisecond}).result()
			small := sink.result().Good
			for i, e := range ends {
				used := e.storage().Mallocs - before[i].Mallocs
				st := e.status()
				packets := (st.Peers[0].RxBytes+st.Peers[0].TxBytes-bytes[i])/1500 + uint64(small)
				if packets < 5000 || small < 1000 {
					t.Errorf("control: %d packets passed, %d of them small", packets, small)
				}
				// The questions need ten or so.
				if used > 60 {
					t.Errorf("%d allocations for %d packets", used, packets)
				}
				t.Logf("%d allocations for %d packets", used, packets)
			}
		})
	}
}
