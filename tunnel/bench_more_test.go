package tunnel_test

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"
)

// BenchmarkManyPeers shows that peers who say nothing cost nothing.
func BenchmarkManyPeers(b *testing.B) {
	p, q := places(b, 1500)
	var s score
	sizes := []int{1, 100, 1000}
	resident := map[int]float64{}
	for range rounds(b) {
		for _, n := range sizes {
			who := fmt.Sprintf("%d", n)
			v := newVisit(b, p, q, who, "end", &s, func(oa, ob *endOrder) { oa.More, ob.More = n-1, n-1 })
			w := newVigil()
			gigabytes, seconds := transfer(p, q, 1, second)
			s.add("TCP 1 stream, Gbit/s", who, 8*gigabytes/seconds, w.foreign())
			for _, peak := range v.stop() {
				resident[n] = max(resident[n], peak)
			}
		}
	}
	goals := map[string]goal{"TCP 1 stream, Gbit/s": {ratio: 0.95}}
	s.report(b, "100", "1", goals)
	s.report(b, "1000", "1", goals)
	report(b, "largest resident memory of an end with 1000 peers", "MiB", resident[1000], 64)
}

// BenchmarkUnderFlood compares a stream with and without an attacker's 20,000
// datagrams a second of every kind.
func BenchmarkUnderFlood(b *testing.B) {
	p, q := places(b, 1500)
	enemy := p.attack()
	var s score
	v := newVisit(b, p, q, "", "end", &s)
	order := floodOrder{Victim: netip.AddrPortFrom(q.wire[0], 51820), Public: v.eq.status().Public, Rate: 20000, Lasts: second + second/4}
	sent := 0
	for range rounds(b) {
		for _, who := range []string{"flooded", "in peace"} {
			w := newVigil()
			if who == "flooded" {
				enemy.flood(order)
			}
			gigabytes, seconds := transfer(p, q, 1, second)
			s.add("TCP 1 stream, Gbit/s", who, 8*gigabytes/seconds, w.foreign())
			if who == "flooded" {
				for _, n := range enemy.sent() {
					sent += n
				}
			}
		}
	}
	s.report(b, "flooded", "in peace", map[string]goal{"TCP 1 stream, Gbit/s": {ratio: 0.5}})
	say("%.0f datagrams of the flood a second", float64(sent)/float64(rounds(b))/order.Lasts.Seconds())
	v.stop()
}

// BenchmarkIntegrity carries 10 GB, or as many as VPNGUARD_BENCH_GB says, both
// ways by TCP with IPv4 and IPv6 inside, with datagrams of all sizes both ways
// and echoes beside them, and compares every byte.
func BenchmarkIntegrity(b *testing.B) {
	gigabytes := 10.0
	if text := os.Getenv("VPNGUARD_BENCH_GB"); text != "" {
		var err error
		if gigabytes, err = strconv.ParseFloat(text, 64); err != nil || gigabytes <= 0 {
			b.Fatalf("VPNGUARD_BENCH_GB %q is not a number of gigabytes", text)
		}
	}
	p, q := places(b, 1500)
	var s score
	v := newVisit(b, p, q, "", "end", &s)
	begin := time.Now()
	var ends [2][2]*job
	for family := range 2 {
		addr := netip.AddrPortFrom(q.in[family], 7000)
		o := trafficOrder{Kind: "listen", Addr: addr, Bytes: int64(gigabytes * 1e9 / 4), Seed: uint64(10 + family)}
		ends[family][0] = q.traffic(o)
		o.Kind, o.Seed = "dial", uint64(20+family)
		ends[family][1] = p.traffic(o)
	}
	done := make(chan bool)
	go func() {
		for family := range 2 {
			for _, e := range ends[family] {
				e.wait()
			}
		}
		close(done)
	}()
	// While the streams go on.
	datagrams, lost, altered, echoes := 0, 0, 0, 0
	for n := 0; ; n++ {
		const count = 4000
		from, to := p, q
		if n%2 == 1 {
			from, to = q, p
		}
		o := trafficOrder{Kind: "sink", Addr: netip.AddrPortFrom(to.in[n/2%2], 7001), Count: count, Seed: uint64(n)}
		sink := to.traffic(o)
		o.Kind = "source"
		source := from.traffic(o)
		echo := from.traffic(trafficOrder{Kind: "echo", Addr: netip.AddrPortFrom(to.in[0], 0), Seed: uint64(1 + n%100), Lasts: second / 2})
		echoes += echo.result().Good
		source.result()
		r := sink.result()
		datagrams, lost, altered = datagrams+r.Good, lost+count-r.Good, altered+r.Bad
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	took := time.Since(begin).Seconds()
	for family := range 2 {
		l, d := ends[family][0].result(), ends[family][1].result()
		if l.Sent != d.Received || d.Sent != l.Received || l.Sent == "" || l.Sent == d.Sent {
			b.Errorf("family %d: streams were altered: %+v, %+v", family, l, d)
		}
	}
	if altered != 0 || datagrams == 0 || echoes == 0 {
		b.Errorf("of %d datagrams %d were altered or came twice; %d echoes", datagrams, altered, echoes)
	}
	for _, e := range []*end{v.ep, v.eq} {
		if st := e.status(); st.Drops.Broken != 0 || st.Drops.Undone != 0 || float64(st.Peers[0].RxBytes+st.Peers[0].TxBytes) < gigabytes*1e9 {
			b.Errorf("status %+v", st)
		}
	}
	say("%.3g GB unaltered in %.0f s, half of it each way, beside %d datagrams (%d more were lost in full queues) and %d echoes", gigabytes, took, datagrams, lost, echoes)
	v.stop()
}
