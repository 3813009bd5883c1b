package fit

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vpnguard/vpnguard/tunnel/gso"
)

// tcp makes a TCP packet of IPv4 or IPv6 with options, its checksum right.
func tcp(version int, flags byte, options []byte, body int) []byte {
	for len(options)%4 != 0 {
		options = append(options, optNop)
	}
	start := 20
	if version == 6 {
		start = 40
	}
	p := make([]byte, start+20+len(options)+body)
	if version == 4 {
		p[0], p[8], p[9] = 0x45, 64, protoTCP
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
		copy(p[12:], []byte{10, 8, 0, 1, 10, 8, 0, 2})
		sum := gso.Checksum(p[:20], 0)
		copy(p[10:], sum[:])
	} else {
		p[0], p[6], p[7] = 0x60, protoTCP, 64
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
		p[8], p[23], p[24], p[39] = 0xfd, 1, 0xfd, 2
	}
	t := p[start:]
	copy(t, []byte{0x12, 0x34, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, byte((20 + len(options)) / 4 << 4), flags, 0xff, 0xff})
	copy(t[20:], options)
	for i := 20 + len(options); i < len(t); i++ {
		t[i] = byte(i * 7)
	}
	sum := gso.Checksum(t, gso.Pseudo(p, protoTCP, len(t)))
	copy(t[16:], sum[:])
	return p
}

// sound reports whether the transport checksum is right.
func sound(p []byte, proto byte) bool {
	start := 20
	if p[0]>>4 == 6 {
		start = 40
	}
	if proto == protoICMP {
		return gso.Checksum(p[start:], 0) == [2]byte{}
	}
	return gso.Checksum(p[start:], gso.Pseudo(p, proto, len(p)-start)) == [2]byte{}
}

func TestClampLowersWhatOpensAConnection(t *testing.T) {
	mss := func(n uint16) []byte { return []byte{optMSS, 4, byte(n >> 8), byte(n)} }
	for _, c := range []struct {
		name    string
		version int
		flags   byte
		options []byte
		limit   int
		want    uint16 // 0: unchanged
	}{
		{"a SYN", 4, tcpSYN, mss(1460), 1220, 1180},
		{"a SYN of IPv6", 6, tcpSYN, mss(1440), 1200, 1140},
		{"its answer", 4, tcpSYN | 0x10, mss(8960), 1420, 1380},
		{"at an odd place", 4, tcpSYN, append([]byte{optNop}, mss(1460)...), 1220, 1180},
		{"behind others", 6, tcpSYN, append([]byte{3, 3, 7, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}, mss(1440)...), 1280, 1220},
		{"one that fits", 4, tcpSYN, mss(1180), 1220, 0},
		{"one that is smaller", 4, tcpSYN, mss(536), 1220, 0},
		{"data", 4, 0x18, mss(1460), 1220, 0},
		{"behind the end", 4, tcpSYN, append([]byte{optEnd}, mss(1460)...), 1220, 0},
		{"a broken option", 4, tcpSYN, append([]byte{3, 0}, mss(1460)...), 1220, 0},
		{"a long option", 4, tcpSYN, append([]byte{3, 200}, mss(1460)...), 1220, 0},
	} {
		p := tcp(c.version, c.flags, slices.Clone(c.options), 0)
		before := bytes.Clone(p)
		Clamp(p, c.limit)
		if c.want == 0 {
			if !bytes.Equal(p, before) {
				t.Errorf("%s was changed", c.name)
			}
			continue
		}
		at := bytes.LastIndex(p, []byte{optMSS, 4, byte(c.want >> 8), byte(c.want)})
		if at < 0 || !sound(p, protoTCP) {
			t.Errorf("%s: %x, checksum right: %v", c.name, p, sound(p, protoTCP))
		}
	}
}

func TestTooBigTellsTheSenderAndNobodyElse(t *testing.T) {
	for _, version := range []int{4, 6} {
		p := tcp(version, 0x18, nil, 1400)
		b := TooBig(nil, p, 1300)
		proto, start, most := byte(protoICMP), 20, 576
		if version == 6 {
			proto, start, most = protoICMPv6, 40, 1280
		}
		if b == nil || len(b) > most || !sound(b, proto) || !bytes.HasPrefix(p, b[start+8:]) {
			t.Fatalf("IPv%d: %x", version, b)
		}
		if version == 4 && (b[20] != 3 || b[21] != 4 || binary.BigEndian.Uint16(b[26:]) != 1300 || !bytes.Equal(b[12:16], p[16:20]) || !bytes.Equal(b[16:20], p[12:16]) || gso.Checksum(b[:20], 0) != [2]byte{}) {
			t.Errorf("%x", b[:28])
		}
		if version == 6 && (b[40] != 2 || binary.BigEndian.Uint32(b[44:]) != 1300 || !bytes.Equal(b[8:24], p[24:40]) || !bytes.Equal(b[24:40], p[8:24])) {
			t.Errorf("%x", b[:48])
		}
		if TooBig(nil, b, 100) != nil {
			t.Errorf("IPv%d: an error was answered by an error", version)
		}
	}
	if b := TooBig(nil, tcp(6, 0x18, nil, 1400), 1200); binary.BigEndian.Uint32(b[44:]) != Least {
		t.Error("IPv6 was told less than it knows")
	}
	for name, change := range map[string]func(p []byte){
		"to many":          func(p []byte) { p[16] = 224 },
		"from many":        func(p []byte) { p[12] = 239 },
		"from nobody":      func(p []byte) { p[12] = 0 },
		"a later fragment": func(p []byte) { p[7] = 1 },
		"no IP":            func(p []byte) { p[0] = 0x15 },
	} {
		p := tcp(4, 0x18, nil, 1400)
		if change(p); TooBig(nil, p, 1300) != nil {
			t.Errorf("%s was answered", name)
		}
	}
}

// together puts fragments, each with so many bytes of headers, together again.
// where tells a fragment's offset and whether more follow.
func together(t *testing.T, head int, pieces [][]byte, where func([]byte) (int, bool)) (body []byte) {
	t.Helper()
	for i, p := range pieces {
		if at, more := where(p); at != len(body) || more != (i < len(pieces)-1) {
			t.Fatalf("piece %d of %d is at %d, not %d (more: %v)", i, len(pieces), at, len(body), more)
		}
		body = append(body, p[head:]...)
	}
	return body
}

func TestFragmentsBecomeThePacketAgain(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		size, limit := 1+rng.IntN(1200), 70+rng.IntN(1300)
		for _, version := range []int{4, 6} {
			p := tcp(version, 0x18, nil, size)
			p = p[:min(len(p), Least)]
			var got [][]byte
			if !Fragment(make([]byte, 0, 1500), p, limit, 7, func(b []byte) {
				if len(b) > limit {
					t.Fatalf("%d bytes where %d fit", len(b), limit)
				}
				got = append(got, bytes.Clone(b))
			}) {
				t.Fatalf("IPv%d, %d bytes: not fragmented", version, len(p))
			}
			head, start := 20, 20
			where := func(b []byte) (int, bool) {
				if gso.Checksum(b[:20], 0) != [2]byte{} || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
					t.Fatalf("header %x", b[:20])
				}
				f := binary.BigEndian.Uint16(b[6:])
				return int(f&0x1fff) * 8, f&0x2000 != 0
			}
			if version == 6 {
				head, start = 48, 40
				where = func(b []byte) (int, bool) {
					if b[6] != 44 || b[40] != protoTCP || binary.BigEndian.Uint32(b[44:]) != 7 || int(binary.BigEndian.Uint16(b[4:])) != len(b)-40 {
						t.Fatalf("header %x", b[:48])
					}
					f := binary.BigEndian.Uint16(b[42:])
					return int(f &^ 7), f&1 != 0
				}
			}
			if !bytes.Equal(together(t, head, got, where), p[start:]) {
				t.Fatal("other bytes")
			}
		}
	}
}

func TestFragmentLeavesAloneWhatMayNotBeDivided(t *testing.T) {
	never := func([]byte) { t.Error("a fragment") }
	df := tcp(4, 0x18, nil, 1400)
	df[6] |= 0x40
	options := tcp(4, 0x18, nil, 1400)
	options[0] = 0x46
	hop := tcp(6, 0x18, nil, 1200)
	hop[6] = 0
	for name, p := range map[string][]byte{
		"IPv4 that says so": df, "IPv4 with options": options, "IPv6 with options": hop,
		"IPv6 that is longer than all links": tcp(6, 0x18, nil, 1300), "nothing": nil, "no IP": make([]byte, 1400),
	} {
		if Fragment(make([]byte, 0, 1500), p, 1200, 1, never) {
			t.Errorf("%s was fragmented", name)
		}
	}
}

// Nothing that a host or a peer sends makes these panic or write beyond.
func FuzzInner(f *testing.F) {
	f.Add(tcp(4, tcpSYN, []byte{2, 4, 5, 180}, 0), 1200)
	f.Add(tcp(6, tcpSYN, []byte{2, 4, 5, 180}, 1300), 1200)
	f.Fuzz(func(t *testing.T, p []byte, limit int) {
		limit = 576 + int(uint(limit)%8000)
		before := len(p)
		Clamp(p, limit)
		TooBig(nil, p, limit)
		Fragment(make([]byte, 0, 1<<16), p, limit, 1, func(b []byte) {
			if len(b) > limit {
				t.Errorf("%d bytes where %d fit", len(b), limit)
			}
		})
		if len(p) != before {
			t.Error("it grew")
		}
	})
}
