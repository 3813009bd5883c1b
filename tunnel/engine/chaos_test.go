package engine

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// FuzzTwoEngines lets a hostile network do what it likes between two engines
// that talk for minutes, and then be good again. Nothing that was not sent may
// be delivered, nothing twice, nothing may panic, and at the end both must
// hear each other within the time of a few retries.
func FuzzTwoEngines(f *testing.F) {
	for seed := range byte(12) {
		f.Add(seed, []byte{seed, 3 * seed, 200, 7 * seed, 31, 90, 5})
	}
	f.Fuzz(chaos)
}

func TestTwoEnginesSurviveAHostileNetwork(t *testing.T) {
	for seed := range 120 {
		rng := rand.New(rand.NewPCG(uint64(seed), 5))
		script := make([]byte, 40)
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		chaos(t, byte(seed), script)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// chaos plays a script: each byte is half a minute at most of one way to fail
// and of how much is said.
func chaos(t *testing.T, seed byte, script []byte) {
	if len(script) > 60 {
		script = script[:60]
	}
	w, a, b := pair(t, seed)
	b.knows(a, func(c *PeerConfig) { c.Endpoint = a.addr })
	if seed%3 == 0 {
		a.knows(b, func(c *PeerConfig) { c.Endpoint, c.Keepalive = b.addr, 7*time.Second })
	}
	mode := byte(0)
	w.carry = func(d datagram) []datagram { return w.fail(mode, d) }
	sent := map[*host]map[string]bool{a: {}, b: {}} // by whom
	got := map[*host]map[string]bool{a: {}, b: {}}
	number := uint64(0)
	say := func(from, to *host) {
		number++
		p := packet(from.inner, to.inner, 28+w.rng.IntN(300), number)
		sent[from][string(p)] = true
		if err := from.Transmit(w.now, p); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		for _, side := range []struct{ to, from *host }{{a, b}, {b, a}} {
			for _, p := range side.to.delivered {
				if !sent[side.from][string(p)] {
					t.Fatalf("a forgery was accepted: %x", p)
				}
				if got[side.to][string(p)] {
					t.Fatalf("packet %d was delivered twice", binary.BigEndian.Uint64(p[20:]))
				}
				got[side.to][string(p)] = true
			}
			side.to.delivered = nil
		}
	}
	for _, step := range script {
		mode = step % 16
		w.seen = w.seen[max(0, len(w.seen)-100):]
		for range 1 + step>>4 {
			if w.rng.IntN(2) == 0 {
				say(a, b)
			}
			if w.rng.IntN(3) == 0 {
				say(b, a)
			}
			w.pass(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
			check()
		}
	}
	w.carry = nil
	w.pass(10 * time.Second)
	check()
	for range 2 {
		say(a, b)
		say(b, a)
		w.pass(30 * time.Second) // 15 s until silence is noticed, 5 s and jitter for a retry, and again
	}
	check()
	last := number
	say(a, b)
	say(b, a)
	w.settle()
	final := map[*host]uint64{b: last + 1, a: last + 2}
	for h, n := range final {
		if len(h.delivered) != 1 || binary.BigEndian.Uint64(h.delivered[0][20:]) != n {
			t.Fatalf("stuck: %s heard %d packets at the end", h.addr, len(h.delivered))
		}
	}
	check()
	for _, h := range w.hosts {
		if len(h.indices) > 4 {
			t.Errorf("%d indices for one peer", len(h.indices))
		}
	}
}

// fail is what the network does to a datagram in a mode: bits of the mode are
// loss, delay with reordering, duplication with replays, and damage.
func (w *world) fail(mode byte, d datagram) []datagram {
	if mode&1 != 0 && w.rng.IntN(3) > 0 {
		return nil
	}
	out := []datagram{d}
	if mode&4 != 0 {
		again := d
		again.data = bytes.Clone(d.data)
		out = append(out, again)
		old := w.seen[w.rng.IntN(len(w.seen))]
		old.data = bytes.Clone(old.data)
		old.at = w.now
		out = append(out, old)
	}
	if mode&8 != 0 {
		for i := range out {
			if w.rng.IntN(2) == 0 {
				continue
			}
			data := bytes.Clone(out[i].data)
			switch w.rng.IntN(3) {
			case 0:
				data = data[:w.rng.IntN(len(data))]
			case 1:
				data[w.rng.IntN(len(data))] ^= 1 << w.rng.IntN(8)
			case 2:
				data = append(data, byte(w.rng.Uint32()))
			}
			out[i].data = data
		}
	}
	if mode&2 != 0 {
		for i := range out {
			out[i].at += time.Duration(w.rng.IntN(12000)) * time.Millisecond
		}
	}
	return out
}

// FuzzReceive gives one engine that has a session whatever bytes there are, in
// one datagram or in several.
func FuzzReceive(f *testing.F) {
	w, a, b := pair(f, 77)
	a.says(b, 1)
	for _, d := range w.seen {
		f.Add(d.data, len(d.data))
		f.Add(append(bytes.Clone(d.data), d.data...), len(d.data))
	}
	f.Add([]byte{}, 0)
	f.Add(make([]byte, 200), -5)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		b.Receive(w.now, Way{To: a.addr}, bytes.Clone(data), size, func(p []byte) {
			if len(p) < 20 {
				t.Errorf("delivered %x", p)
			}
		})
	})
}
