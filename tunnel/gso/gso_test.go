package gso

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// flow makes packets of one TCP or UDP flow with right checksums.
type flow struct {
	v6    bool
	proto byte
	seq   uint32
	id    uint16
}

func (f *flow) packet(body []byte, flags byte) []byte {
	start, l4 := 20, 8
	if f.v6 {
		start = 40
	}
	if f.proto == protoTCP {
		l4 = 32
	}
	p := make([]byte, start+l4+len(body))
	if f.v6 {
		p[0], p[6], p[7] = 0x60, f.proto, 64
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		p[8], p[23], p[24], p[39] = 0xfd, 1, 0xfd, 2
	} else {
		p[0], p[6], p[8], p[9] = 0x45, 0x40, 64, f.proto
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		binary.BigEndian.PutUint16(p[4:], f.id)
		copy(p[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
		putNot(p[10:], sum(p[:20], 0))
	}
	f.id++
	h := p[start:]
	copy(h, []byte{1, 2, 3, 4})
	at := 6
	if f.proto == protoTCP {
		at = 16
		binary.BigEndian.PutUint32(h[4:], f.seq)
		h[12], h[13], h[15] = 8<<4, flags, 99
		copy(h[20:], []byte{1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6})
		f.seq += uint32(len(body))
	} else {
		binary.BigEndian.PutUint16(h[4:], uint16(8+len(body)))
	}
	copy(h[l4:], body)
	putNot(h[at:], sum(h, pseudo(p, f.proto, len(h))))
	return p
}

// merged runs packets through a merger and returns what was written, each with
// its virtio header in one piece.
func merged(m *Merger, packets [][]byte) (out [][]byte, counts []int) {
	m.Write = func(parts [][]byte, count int) {
		out, counts = append(out, bytes.Join(parts, nil)), append(counts, count)
	}
	for _, p := range packets {
		m.Add(bytes.Clone(p))
	}
	m.Flush()
	return out, counts
}

func apart(t *testing.T, written [][]byte) (out [][]byte) {
	t.Helper()
	heads := make([]byte, HeadsSize)
	for _, w := range written {
		s, err := Split(bytes.Clone(w), heads)
		if err != nil {
			t.Fatalf("split %x: %v", w[:60], err)
		}
		for i := range s.Count {
			out = append(out, s.Copy(nil, i))
		}
	}
	return out
}

func TestSplitUndoesMerge(t *testing.T) {
	for _, f := range []flow{{false, protoTCP, 1 << 31, 65530}, {true, protoTCP, 0xfffffff0, 0}, {false, protoUDP, 0, 7}, {true, protoUDP, 0, 0}} {
		rng := rand.New(rand.NewPCG(1, 1))
		for range 200 {
			size, n := 100+rng.IntN(1200), 1+rng.IntN(50)
			var packets [][]byte
			for i := range n {
				length := size
				if i == n-1 {
					length = 1 + rng.IntN(size)
				}
				body := make([]byte, length)
				for j := range body {
					body[j] = byte(rng.Uint32())
				}
				flags := byte(tcpACK)
				if i == n-1 {
					flags |= tcpPSH
				}
				packets = append(packets, f.packet(body, flags))
			}
			written, counts := merged(&Merger{TCP: true, UDP: true}, packets)
			if n*size < 60000 && len(written) != 1 {
				t.Fatalf("%+v: %d packets of %d became %v", f, n, size, counts)
			}
			got := apart(t, written)
			if len(got) != n {
				t.Fatalf("%d packets came back as %d", n, len(got))
			}
			for i := range got {
				if !bytes.Equal(got[i], packets[i]) {
					t.Fatalf("%+v: packet %d of %d came back as\n%x, was\n%x", f, i, n, got[i][:80], packets[i][:80])
				}
			}
		}
	}
}

// What differs in any way that a receiver could see, or is damaged, travels alone.
func TestMergeLeavesAloneWhatDoesNotBelongTogether(t *testing.T) {
	body := bytes.Repeat([]byte{7}, 200)
	for _, v6 := range []bool{false, true} {
		for _, proto := range []byte{protoTCP, protoUDP} {
			f := flow{v6: v6, proto: proto}
			a, b := f.packet(body, tcpACK), f.packet(body, tcpACK)
			if w, _ := merged(&Merger{TCP: true, UDP: true}, [][]byte{a, b}); len(w) != 1 {
				t.Fatal("control: two packets of a flow were not put together")
			}
			for bit := range 8 * len(b) {
				damaged := bytes.Clone(b)
				damaged[bit/8] ^= 1 << (bit % 8)
				for _, order := range [][][]byte{{a, damaged}, {damaged, b}} {
					w, counts := merged(&Merger{TCP: true, UDP: true}, order)
					if len(w) != 2 {
						t.Fatalf("v6 %v, protocol %d: bit %d of byte %d hides in a super-packet", v6, proto, bit%8, bit/8)
					}
					for i := range w {
						if counts[i] != 1 || !bytes.Equal(w[i][:HeaderSize], make([]byte, HeaderSize)) || !bytes.Equal(w[i][HeaderSize:], order[i]) {
							t.Fatal("a packet alone was changed")
						}
					}
				}
			}
			if w, _ := merged(&Merger{}, [][]byte{a, b}); len(w) != 2 {
				t.Error("packets were put together where the kernel does not take it")
			}
			if w, _ := merged(&Merger{TCP: true, UDP: true}, [][]byte{b, a}); len(w) != 2 && proto == protoTCP {
				t.Error("packets out of order were put together")
			}
		}
	}
	f := flow{proto: protoTCP}
	push, after := f.packet(body, tcpACK|tcpPSH), f.packet(body, tcpACK)
	if w, _ := merged(&Merger{TCP: true}, [][]byte{push, after}); len(w) != 2 {
		t.Error("a push in the middle was lost")
	}
	f = flow{proto: protoTCP}
	short, long := f.packet(body[:100], tcpACK), f.packet(body, tcpACK)
	if w, _ := merged(&Merger{TCP: true}, [][]byte{short, long}); len(w) != 2 {
		t.Error("a longer segment follows a shorter one")
	}
	for _, flags := range []byte{tcpACK | tcpFIN, 0x02, 0x04, tcpACK | 0x20, tcpACK | tcpCWR} {
		f = flow{proto: protoTCP}
		odd, next := f.packet(body, flags), f.packet(body, tcpACK)
		if w, _ := merged(&Merger{TCP: true}, [][]byte{odd, next}); len(w) != 2 {
			t.Errorf("flags %#x were put together", flags)
		}
	}
}

func TestSplitCompletesChecksumsAndFlags(t *testing.T) {
	f := flow{proto: protoTCP}
	p := f.packet(bytes.Repeat([]byte{1}, 500), tcpACK)
	want := bytes.Clone(p)
	put(p[36:], pseudo(p, protoTCP, len(p)-20))
	buf := append(make([]byte, HeaderSize), p...)
	buf[0] = flagNeedsChecksum
	binary.NativeEndian.PutUint16(buf[6:], 20)
	binary.NativeEndian.PutUint16(buf[8:], 16)
	s, err := Split(buf, nil)
	if err != nil || s.Count != 1 || !bytes.Equal(s.Copy(nil, 0), want) {
		t.Errorf("checksum %x, want %x, %v", p[36:38], want[36:38], err)
	}
	// FIN and PSH are the last segment's, CWR the first one's.
	f = flow{proto: protoTCP}
	p = f.packet(bytes.Repeat([]byte{1}, 500), tcpACK|tcpFIN|tcpPSH|tcpCWR)
	buf = append(make([]byte, HeaderSize), p...)
	buf[0], buf[1] = flagNeedsChecksum, typeTCP4|typeECN
	binary.NativeEndian.PutUint16(buf[4:], 200)
	binary.NativeEndian.PutUint16(buf[6:], 20)
	binary.NativeEndian.PutUint16(buf[8:], 16)
	s, err = Split(buf, make([]byte, 4096))
	if err != nil || s.Count != 3 {
		t.Fatalf("%d segments, %v", s.Count, err)
	}
	for i, want := range []byte{tcpACK | tcpCWR, tcpACK, tcpACK | tcpFIN | tcpPSH} {
		q := s.Copy(nil, i)
		if q[33] != want || !sound(q, 20, protoTCP) {
			t.Errorf("segment %d has flags %#x, want %#x", i, q[33], want)
		}
	}
}

func TestSumAgreesWithTheSlowWay(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for n := range 300 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32()) | byte(n%2*0xff)
		}
		slow := uint32(0)
		for i := range b {
			slow += uint32(b[i]) << (8 * (1 - i%2))
			slow = slow>>16 + slow&0xffff
		}
		var got [2]byte
		put(got[:], sum(b, 0))
		if binary.BigEndian.Uint16(got[:]) != uint16(slow) {
			t.Fatalf("%d bytes: %x, want %04x", n, got, slow)
		}
	}
}

func FuzzSplit(f *testing.F) {
	fl := flow{proto: protoTCP}
	p := append(make([]byte, HeaderSize), fl.packet(make([]byte, 600), tcpACK)...)
	p[1], p[4], p[6] = typeTCP4, 100, 20
	f.Add(p)
	heads := make([]byte, HeadsSize)
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Split(bytes.Clone(data), heads)
		if err != nil {
			return
		}
		total := 0
		for i := range s.Count {
			total += len(s.Body(i))
			s.Copy(nil, i)
		}
		if s.Head+total != len(data)-HeaderSize {
			t.Errorf("%d bytes became %d and a header of %d", len(data)-HeaderSize, total, s.Head)
		}
	})
}

func FuzzMerge(f *testing.F) {
	fl := flow{proto: protoTCP}
	f.Add(fl.packet(make([]byte, 30), tcpACK), fl.packet(make([]byte, 30), tcpACK))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a) < 20 || len(b) < 20 {
			return
		}
		w, _ := merged(&Merger{TCP: true, UDP: true}, [][]byte{a, b})
		got := apart(t, w)
		if len(got) != 2 {
			t.Fatalf("two packets came back as %d", len(got))
		}
	})
}

// A stream that was cut is the same stream, whatever it was cut from.
func TestCutKeepsTheStream(t *testing.T) {
	heads := make([]byte, HeadsSize)
	for _, v6 := range []bool{false, true} {
		body := make([]byte, 20000)
		for i := range body {
			body[i] = byte(i * 31)
		}
		f := &flow{v6: v6, proto: protoTCP, seq: 4294967000}
		p := f.packet(body, tcpACK|tcpPSH|tcpFIN)
		s, ok := Cut(p, heads, 1200)
		if !ok {
			t.Fatal("not cut")
		}
		seq, got, start := uint32(4294967000), []byte{}, map[bool]int{false: 20, true: 40}[v6]
		for i := range s.Count {
			one := s.Copy(nil, i)
			if len(one) > 1200 || !sound(one, start, protoTCP) || binary.BigEndian.Uint32(one[start+4:]) != seq {
				t.Fatalf("segment %d: %d bytes, checksums right: %v", i, len(one), sound(one, start, protoTCP))
			}
			if last := i == s.Count-1; one[start+13]&(tcpFIN|tcpPSH) != map[bool]byte{true: tcpFIN | tcpPSH}[last] {
				t.Errorf("segment %d has flags %x", i, one[start+13])
			}
			seq += uint32(len(one) - s.Head)
			got = append(got, one[s.Head:]...)
		}
		if !bytes.Equal(got, body) {
			t.Error("other bytes")
		}
	}
	udp := (&flow{proto: protoUDP}).packet(make([]byte, 3000), 0)
	fragment := (&flow{proto: protoTCP}).packet(make([]byte, 3000), tcpACK)
	fragment[6] |= 0x20
	for name, p := range map[string][]byte{
		"UDP": udp, "a fragment": fragment, "nothing": nil,
		"a SYN":          (&flow{proto: protoTCP}).packet(make([]byte, 3000), tcpSYN),
		"urgent data":    (&flow{proto: protoTCP}).packet(make([]byte, 3000), tcpACK|tcpURG),
		"no data":        (&flow{proto: protoTCP}).packet(nil, tcpACK),
		"half a header":  (&flow{proto: protoTCP}).packet(nil, tcpACK)[:30],
		"no room for it": (&flow{v6: true, proto: protoTCP}).packet(make([]byte, 3000), tcpACK)[:72],
	} {
		if _, ok := Cut(p, heads, 1200); ok {
			t.Errorf("%s was cut", name)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add((&flow{proto: protoTCP}).packet(make([]byte, 3000), tcpACK), 1200)
	f.Fuzz(func(t *testing.T, p []byte, limit int) {
		limit = 576 + int(uint(limit)%8000)
		s, ok := Cut(p, make([]byte, HeadsSize), limit)
		for i := range s.Count {
			if one := s.Copy(nil, i); !ok || len(one) > limit {
				t.Errorf("%d bytes where %d fit", len(one), limit)
			}
		}
	})
}
