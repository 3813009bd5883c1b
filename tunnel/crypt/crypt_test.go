package crypt_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/vpnguard/vpnguard/tunnel/crypt"
)

func newKey(t testing.TB, seed byte) (*crypt.Key, [32]byte) {
	t.Helper()
	raw := [32]byte(bytes.Repeat([]byte{seed}, 32))
	k, err := crypt.NewKey(&raw)
	if err != nil {
		t.Fatal(err)
	}
	return k, raw
}

// reference seals by the library alone.
func reference(t *testing.T, raw [32]byte, counter uint64, plain []byte) []byte {
	t.Helper()
	a, err := chacha20poly1305.New(raw[:])
	if err != nil {
		t.Fatal(err)
	}
	var nonce [12]byte
	binary.LittleEndian.PutUint64(nonce[4:], counter)
	return a.Seal(nil, nonce[:], plain, nil)
}

func TestSealEqualsTheLibraryPacketByPacket(t *testing.T) {
	k, raw := newKey(t, 7)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		head, size, limit := rng.IntN(61), 1+rng.IntN(1400), 1420
		if head == 0 {
			size = 1 + rng.IntN(1420)
		}
		if head+size > limit {
			size = limit - head
		}
		n := 1 + rng.IntN(9)
		body := (n-1)*size + 1 + rng.IntN(size)
		backing := make([]byte, head+body+64)
		for i := range backing {
			backing[i] = byte(rng.Uint32())
		}
		tail := bytes.Clone(backing[head+body:])
		r := crypt.Run{Buf: backing[:head+body], Heads: make([]byte, n*head), Head: head, Size: size, Limit: limit}
		for i := range r.Heads {
			r.Heads[i] = byte(rng.Uint32())
		}
		if r.Count() != n {
			t.Fatalf("%d bytes by %d are %d packets, want %d", body, size, r.Count(), n)
		}
		bodies := bytes.Clone(r.Buf[head:])
		stride := crypt.Padded(head+size, limit) + 32
		dst := bytes.Repeat([]byte{0xaa}, n*stride+40)
		first := rng.Uint64() >> 1
		last := k.Seal(dst, stride, 16, r, first)
		for i := range n {
			part := bodies[i*size : min((i+1)*size, len(bodies))]
			plain := append(bytes.Clone(r.Heads[i*head:(i+1)*head]), part...)
			plain = append(plain, make([]byte, crypt.Padded(len(plain), limit)-len(plain))...)
			want := reference(t, raw, first+uint64(i), plain)
			if got := dst[i*stride+16:][:len(want)]; !bytes.Equal(got, want) {
				t.Fatalf("packet %d of %d (head %d, size %d) differs", i, n, head, size)
			}
			if !bytes.Equal(dst[i*stride:i*stride+16], bytes.Repeat([]byte{0xaa}, 16)) {
				t.Fatal("the room before a packet was written to")
			}
			if i == n-1 && last != len(want) {
				t.Fatalf("last is %d, want %d", last, len(want))
			}
		}
		if rest := dst[(n-1)*stride+16+last:]; bytes.Contains(rest, []byte{0}) || !bytes.Equal(rest, bytes.Repeat([]byte{0xaa}, len(rest))) {
			t.Fatal("bytes behind the last packet were written to")
		}
		if !bytes.Equal(tail, backing[head+body:]) {
			t.Fatal("bytes behind the run changed")
		}
	}
}

func TestOpenTakesWhatIsAuthenticAndZeroesTheRest(t *testing.T) {
	k, raw := newKey(t, 9)
	const stride, size, n = 200, 116, 40
	buf := make([]byte, n*stride)
	counters, ok := make([]uint64, n), make([]bool, n)
	for i := range n {
		counters[i] = uint64(i * i)
		copy(buf[i*stride:], reference(t, raw, counters[i], bytes.Repeat([]byte{byte(i + 1)}, 100)))
		if i%3 == 0 {
			buf[i*stride+i%size] ^= 1 << (i % 8)
		}
	}
	k.Open(buf, stride, size, counters, ok)
	for i := range n {
		want := bytes.Repeat([]byte{byte(i + 1)}, 100)
		if i%3 == 0 {
			want = make([]byte, 100)
		}
		if ok[i] != (i%3 != 0) || !bytes.Equal(buf[i*stride:][:100], want) {
			t.Errorf("packet %d: ok %v", i, ok[i])
		}
	}
}

// Whitepaper, 5.4.6. The vectors of RFC 8439 are the library's own tests; what
// matters here is how we call it.
func TestCounterIsLittleEndianBehindFourZeroBytes(t *testing.T) {
	k, raw := newKey(t, 1)
	dst := make([]byte, 64)
	k.Seal(dst, 64, 0, crypt.Run{Buf: []byte("abcd"), Size: 4, Limit: 4}, 0x0807060504030201)
	nonce, _ := hex.DecodeString("000000000102030405060708")
	a, _ := chacha20poly1305.New(raw[:])
	if want := a.Seal(nil, nonce, []byte("abcd"), nil); !bytes.Equal(dst[:20], want) {
		t.Errorf("%x, want %x", dst[:20], want)
	}
}

func TestSealAndOpenAllocateNothing(t *testing.T) {
	k, _ := newKey(t, 3)
	buf, dst, heads := make([]byte, 64<<10), make([]byte, 70<<10), make([]byte, 52*47)
	counters, ok := make([]uint64, 1), make([]bool, 1)
	if n := testing.AllocsPerRun(20, func() {
		k.Seal(dst, 1452, 16, crypt.Run{Buf: buf[:60000], Heads: heads, Head: 52, Size: 1368, Limit: 1420}, 1)
		k.Open(dst[16:], 1452, 1436, counters, ok)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
