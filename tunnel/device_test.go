package tunnel_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vpnguard/vpnguard/tunnel"
)

// Whatever the kernel does for us, and whatever we do ourselves: the same bytes
// arrive, by TCP both ways at once with IPv4 and IPv6 inside, and by UDP.
func TestEveryPathCarriesTheSameBytes(t *testing.T) {
	full := tunnel.Without{}
	none := tunnel.Without{TUNHeader: true, UDPSegment: true, UDPGather: true}
	for _, c := range []struct {
		name     string
		family   int // outside
		mtu      int
		wire     int
		wa, wb   tunnel.Without
		features string // of a
	}{
		{"all offloads", 0, 1420, 1500, full, full, "{{true true true} {true true}}"},
		{"all offloads over IPv6", 1, 1420, 1500, full, full, "{{true true true} {true true}}"},
		{"jumbo", 0, 8920, 9000, full, full, "{{true true true} {true true}}"},
		{"no offloads", 0, 1420, 1500, none, none, "{{false false false} {false false}}"},
		{"all to none", 0, 1420, 1500, full, none, "{{true true true} {true true}}"},
		{"no UDP_SEGMENT", 0, 1420, 1500, tunnel.Without{UDPSegment: true}, tunnel.Without{UDPSegment: true}, "{{true true true} {false true}}"},
		{"no UDP_GRO", 0, 1420, 1500, tunnel.Without{UDPGather: true}, tunnel.Without{UDPGather: true}, "{{true true true} {true false}}"},
		{"no USO", 0, 1420, 1500, tunnel.Without{TUNUDP: true}, tunnel.Without{TUNUDP: true}, "{{true true false} {true true}}"},
		{"no TSO", 0, 1420, 1500, tunnel.Without{TUNTCP: true}, tunnel.Without{TUNTCP: true}, "{{true false false} {true true}}"},
		{"no virtio header", 0, 1420, 1500, tunnel.Without{TUNHeader: true}, tunnel.Without{TUNHeader: true}, "{{false false false} {true true}}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := places(t, c.wire)
			ea, eb := tunnels(t, a, b, c.family, c.mtu, c.wa, c.wb)
			if got := fmt.Sprint(ea.status().Features); got != c.features {
				t.Fatalf("features %s, want %s: this kernel lacks a part, or the wrong part is off", got, c.features)
			}
			carry(t, a, b)
			for _, e := range []*end{ea, eb} {
				st := e.status()
				if st.Peers[0].LastHandshake.IsZero() || st.Peers[0].RxBytes < 20<<20 || st.Peers[0].TxBytes < 20<<20 {
					t.Errorf("the traffic did not go through the tunnel: %+v", st.Peers[0])
				}
				if st.Drops.Broken != 0 || st.Drops.Undone != 0 {
					t.Errorf("drops %+v", st.Drops)
				}
			}
		})
	}
}

// carry moves bytes of every kind between two places and compares them.
func carry(t *testing.T, a, b *place) {
	t.Helper()
	const size, count = 24 << 20, 4000
	a.run("busybox", "ping", "-q", "-c", "1", "-W", "7", b.in[0].String()) // there is a session
	for family := range 2 {
		datagrams := func(from, to *place) (sink, source *job) {
			addr := netip.AddrPortFrom(to.in[family], 7001)
			return to.traffic(trafficOrder{Kind: "sink", Addr: addr, Count: count, Seed: 3}), from.traffic(trafficOrder{Kind: "source", Addr: addr, Count: count, Seed: 3})
		}
		for _, way := range [][2]*place{{a, b}, {b, a}} {
			sink, source := datagrams(way[0], way[1])
			source.result()
			if u := sink.result(); u.Bad != 0 || u.Good < count*99/100 {
				t.Errorf("family %d: of %d datagrams %d arrived, %d altered or twice", family, count, u.Good, u.Bad)
			}
		}
		// All at once: the queues are full, so datagrams are lost, but none is altered.
		addr := netip.AddrPortFrom(b.in[family], 7000)
		listen := b.traffic(trafficOrder{Kind: "listen", Addr: addr, Bytes: size, Seed: 1})
		dial := a.traffic(trafficOrder{Kind: "dial", Addr: addr, Bytes: size, Seed: 2})
		sink, source := datagrams(b, a)
		l, d := listen.result(), dial.result()
		if l.Sent != d.Received || d.Sent != l.Received || l.Sent == "" || l.Sent == d.Sent {
			t.Errorf("family %d: streams were altered: %+v, %+v", family, l, d)
		}
		source.result()
		if u := sink.result(); u.Bad != 0 || u.Good == 0 {
			t.Errorf("family %d: beside a stream %d datagrams arrived, %d altered or twice", family, u.Good, u.Bad)
		}
		t.Logf("family %d: %d MiB both ways in %.2f s", family, size>>20, l.Seconds)
	}
}
