package tunnel_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/engine"
)

// BenchmarkAgainstWireguardGo measures our tunnel and wireguard-go in turns, over
// the same cable of each model, and compares neighbouring rounds.
func BenchmarkAgainstWireguardGo(b *testing.B) {
	describe(b)
	for _, name := range models {
		b.Run(name, func(b *testing.B) {
			p, q := places(b, 1500)
			model(b, name, p, q)
			var s score
			var resident []float64
			for i := range rounds(b) {
				turns := [][2]string{{"ours", "end"}, {"wireguard-go", "theirs"}}
				if i%2 == 1 { // who is first has no advantage
					slices.Reverse(turns)
				}
				for _, turn := range turns {
					who := turn[0]
					v := newVisit(b, p, q, who, turn[1], &s)
					v.streams()
					if name == "offload" {
						v.small()
						v.echoes()
					}
					if peaks := v.stop(); who == "ours" {
						resident = append(resident, peaks...)
					}
				}
			}
			s.report(b, "ours", "wireguard-go", map[string]goal{
				"TCP 1 stream, Gbit/s": {ratio: 1.4}, "TCP 1 stream back, Gbit/s": {ratio: 1.4},
				"TCP 4 streams, Gbit/s": {ratio: 1.5}, "TCP 4 streams back, Gbit/s": {ratio: 1.5},
				"CPU s/GB": {0.62, true}, "64-byte packets, thousands/s": {ratio: 5},
				"echo idle, us": {0.75, true}, "echo under load, us": {0.6, true},
			})
			report(b, "largest resident memory of an end", "MiB", slices.Max(resident), 16)
			if name == "offload" {
				lost := s.compare("lost of 200,000/s, percent", "ours", "wireguard-go")
				report(b, "lost of 200,000 packets a second (quiet rounds "+lost.rounds()+")", "percent", lost.ours, 0.5)
			}
		})
	}
}

// report prints a value that has a bound of its own.
func report(b *testing.B, what, unit string, value, most float64) {
	b.Helper()
	verdict := "held"
	if value > most {
		verdict = "MISSED"
	}
	say("%s: %.4g %s, goal at most %g: %s", what, value, unit, most, verdict)
}

// visit is one turn of one tunnel: fresh processes between the two places.
type visit struct {
	b      *testing.B
	p, q   *place
	ep, eq *end
	who    string
	s      *score
}

func newVisit(b *testing.B, p, q *place, who, role string, s *score, change ...func(oa, ob *endOrder)) *visit {
	b.Helper()
	v := &visit{b: b, p: p, q: q, who: who, s: s}
	v.ep, v.eq = tunnelsBy(b, role, p, q, 0, func(oa, ob *endOrder) {
		oa.MTU, ob.MTU = engine.DefaultMTU, engine.DefaultMTU // as theirs
		for _, f := range change {
			f(oa, ob)
		}
	})
	p.run("busybox", "ping", "-q", "-c", "1", "-W", "7", q.in[0].String())
	return v
}

// stop ends the tunnel and returns the largest resident sizes of its ends, MiB.
func (v *visit) stop() []float64 {
	v.b.Helper()
	out := []float64{memory(v.b, v.ep.pid(), "VmHWM"), memory(v.b, v.eq.pid(), "VmHWM")}
	v.ep.stop()
	v.eq.stop()
	return out
}

// cpu is the time that both ends took so far.
func (v *visit) cpu() float64 {
	v.b.Helper()
	return cpu(v.b, v.ep.pid()) + cpu(v.b, v.eq.pid())
}

// second is how long one transfer lasts.
const second = time.Second

// streams moves TCP by one stream and by four, both ways.
func (v *visit) streams() {
	v.b.Helper()
	before, w := v.cpu(), newVigil()
	moved := 0.0
	for _, n := range []int{1, 4} {
		for _, back := range []bool{false, true} {
			w := newVigil()
			from, to, name := v.p, v.q, fmt.Sprintf("TCP %d stream", n)
			if n > 1 {
				name += "s"
			}
			if back {
				from, to, name = v.q, v.p, name+" back"
			}
			gigabytes, seconds := transfer(from, to, n, second)
			moved += gigabytes
			v.s.add(name+", Gbit/s", v.who, 8*gigabytes/seconds, w.foreign())
		}
	}
	v.s.add("CPU s/GB", v.who, (v.cpu()-before)/moved, w.foreign())
}

// transfer sends what goes by TCP through the tunnel.
func transfer(from, to *place, streams int, lasts time.Duration) (gigabytes, seconds float64) {
	addr := netip.AddrPortFrom(to.in[0], 7000)
	drain := to.traffic(trafficOrder{Kind: "drain", Addr: addr, Count: streams})
	from.traffic(trafficOrder{Kind: "blast", Addr: addr, Count: streams, Lasts: lasts}).result()
	r := drain.result()
	return float64(r.Good) / 1e9, r.Seconds
}

// small sends datagrams of 64 bytes, 92 with their headers: as many as go, and
// then 200,000 a second.
func (v *visit) small() {
	v.b.Helper()
	w := newVigil()
	before := v.cpu()
	_, got := v.datagrams(0)
	v.s.add("64-byte packets, thousands/s", v.who, float64(got.Good)/1000/got.Seconds, w.foreign())
	v.s.add("CPU us/64-byte packet", v.who, (v.cpu()-before)*1e6/float64(got.Good), w.foreign())
	w = newVigil()
	sent, got := v.datagrams(200_000)
	v.s.add("lost of 200,000/s, percent", v.who, 100-100*float64(got.Good)/float64(sent.Good), w.foreign())
}

// datagrams sends 64-byte datagrams at a rate a second; 0: as many as go.
func (v *visit) datagrams(rate int) (sent, got result) {
	v.b.Helper()
	addr := netip.AddrPortFrom(v.q.in[0], 7001)
	sink := v.q.traffic(trafficOrder{Kind: "count", Addr: addr, Bytes: 64})
	sent = v.p.traffic(trafficOrder{Kind: "shoot", Addr: addr, Bytes: 64, Count: rate, Lasts: second}).result()
	got = sink.result()
	if got.Bad != 0 {
		v.b.Errorf("%s: %d datagrams of another length", v.who, got.Bad)
	}
	return sent, got
}

// echoes measures the round trip with nothing else, and beside one TCP stream.
func (v *visit) echoes() {
	v.b.Helper()
	addr := netip.AddrPortFrom(v.q.in[0], 0)
	w := newVigil()
	idle := v.p.traffic(trafficOrder{Kind: "echo", Addr: addr, Seed: 1, Lasts: second}).result()
	v.s.add("echo idle, us", v.who, idle.P50, w.foreign())
	w = newVigil()
	loaded := v.p.traffic(trafficOrder{Kind: "echo", Addr: addr, Seed: 2, Lasts: second})
	transfer(v.p, v.q, 1, second+second/4)
	v.s.add("echo under load, us", v.who, loaded.result().P50, w.foreign())
}
