package noise

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

type ends struct {
	li, lr   *Local
	toR, toI *Remote
}

func newEnds(t testing.TB) (e ends) {
	t.Helper()
	var locals [2]*Local
	for i := range locals {
		k, err := key.NewPrivate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if locals[i], err = NewLocal(k); err != nil {
			t.Fatal(err)
		}
	}
	psk, err := key.NewPreshared(nil)
	if err != nil {
		t.Fatal(err)
	}
	e.li, e.lr = locals[0], locals[1]
	if e.toR, err = e.li.NewRemote(e.lr.Public(), psk); err != nil {
		t.Fatal(err)
	}
	if e.toI, err = e.lr.NewRemote(e.li.Public(), psk); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEveryBitOfAHandshakeCounts(t *testing.T) {
	e := newEnds(t)
	var first [InitiationSize]byte
	i, err := e.li.Initiate(e.toR, 7, NewTimestamp(time.Now(), Timestamp{}), rand.Reader, &first)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(msg *[InitiationSize]byte) (out [ResponseSize]byte, k Keys, err error) {
		r, err := e.lr.Open(msg)
		if err != nil {
			return out, k, err
		}
		if _, err := r.Verify(e.toI); err != nil {
			return out, k, err
		}
		k, err = r.Answer(e.toI, 9, rand.Reader, &out)
		return out, k, err
	}
	second, kr, err := answer(&first)
	if err != nil {
		t.Fatal(err)
	}
	// X25519 ignores the top bit of a point; the hash does not.
	for bit := 8 * atEphemeral; bit < 8*(InitiationSize-macsSize); bit++ {
		forged := first
		forged[bit/8] ^= 1 << (bit % 8)
		if _, _, err := answer(&forged); !errors.Is(err, ErrForged) {
			t.Fatalf("bit %d of an initiation does not count: %v", bit, err)
		}
	}
	for bit := 8 * atAnswer; bit < 8*(ResponseSize-macsSize); bit++ {
		forged := second
		forged[bit/8] ^= 1 << (bit % 8)
		if _, err := i.Finish(e.li, &forged); !errors.Is(err, ErrForged) {
			t.Fatalf("bit %d of a response does not count: %v", bit, err)
		}
	}
	ki, err := i.Finish(e.li, &second)
	if err != nil || ki.Send != kr.Receive || ki.Receive != kr.Send || ki.Remote != 9 || kr.Remote != 7 {
		t.Errorf("after forged answers the true one: %v", err)
	}
	if i.Erase(); i.ephemeral != nil || i.chain != [32]byte{} {
		t.Error("an erased handshake holds secrets")
	}
}

func TestMACsAndCookies(t *testing.T) {
	e := newEnds(t)
	c := NewChecker(e.lr.Public(), rand.Reader)
	s := NewStamper(e.lr.Public())
	from := netip.MustParseAddrPort("192.0.2.1:5")
	msg := bytes.Repeat([]byte{1}, InitiationSize)
	now := time.Hour
	s.Stamp(msg, now)
	if !c.MAC1(msg) || c.MAC2(msg, from, now) {
		t.Error("a first message has a wrong MAC1 or a right MAC2")
	}
	for bit := range 8 * (InitiationSize - macSize) {
		msg[bit/8] ^= 1 << (bit % 8)
		if c.MAC1(msg) {
			t.Fatalf("MAC1 does not see bit %d", bit)
		}
		msg[bit/8] ^= 1 << (bit % 8)
	}
	var reply, forged [CookieSize]byte
	if err := c.Reply(msg, from, now, &reply); err != nil || Kind(reply[:]) != TypeCookie || Receiver(reply[:]) != Sender(msg) {
		t.Fatalf("reply %x, %v", reply, err)
	}
	for bit := 8 * atNonce; bit < 8*CookieSize; bit++ {
		forged = reply
		forged[bit/8] ^= 1 << (bit % 8)
		if s.Take(&forged, now) == nil {
			t.Fatalf("bit %d of a cookie reply does not count", bit)
		}
	}
	if err := s.Take(&reply, now); err != nil {
		t.Fatal(err)
	}
	if s.Take(&reply, now) == nil {
		t.Error("one message has two cookie replies")
	}
	s.Stamp(msg, now)
	if !c.MAC1(msg) || !c.MAC2(msg, from, now) {
		t.Error("the cookie is not taken")
	}
	if c.MAC2(msg, netip.MustParseAddrPort("192.0.2.1:6"), now) || c.MAC2(msg, from, now+CookieLife) {
		t.Error("the cookie is taken from another port or after its time")
	}
	s.Stamp(msg, now+CookieLife)
	if !bytes.Equal(msg[len(msg)-macSize:], make([]byte, macSize)) {
		t.Error("an old cookie is used")
	}
}

func TestTimestampsAlwaysGrow(t *testing.T) {
	at := time.Unix(1_700_000_000, 999_999_999)
	last := NewTimestamp(at, Timestamp{})
	if s, n := binary.BigEndian.Uint64(last[:]), binary.BigEndian.Uint32(last[8:]); s != 1<<62+10+1_700_000_000 || n%grain != 0 || n > 999_999_999 {
		t.Errorf("label %x", last)
	}
	for _, d := range []time.Duration{0, time.Millisecond, -time.Hour, 0, 0, time.Second, time.Hour} {
		for range 100 {
			next := NewTimestamp(at.Add(d), last)
			if !next.After(last) || binary.BigEndian.Uint32(next[8:]) >= 1e9 {
				t.Fatalf("%x follows %x", next, last)
			}
			last = next
		}
	}
}

func TestKindTakesExactSizesAndZeroBytesOnly(t *testing.T) {
	for size := range 200 {
		for first := range 256 {
			m := make([]byte, size)
			if size > 0 {
				m[0] = byte(first)
			}
			want := 0
			switch {
			case first == 1 && size == 148, first == 2 && size == 92, first == 3 && size == 64, first == 4 && size >= 32:
				want = first
			}
			if got := Kind(m); got != want {
				t.Fatalf("%d bytes of type %d are of kind %d", size, first, got)
			}
			if want != 0 {
				for i := 1; i < 4; i++ {
					m[i] = 1
					if Kind(m) != 0 {
						t.Fatalf("reserved byte %d counts for nothing", i)
					}
					m[i] = 0
				}
			}
		}
	}
}

func FuzzOpenTakesNothingFromStrangers(f *testing.F) {
	e := newEnds(f)
	var first [InitiationSize]byte
	if _, err := e.li.Initiate(e.toR, 7, Timestamp{1}, rand.Reader, &first); err != nil {
		f.Fatal(err)
	}
	f.Add(first[:])
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) != InitiationSize {
			return
		}
		msg := [InitiationSize]byte(data)
		r, err := e.lr.Open(&msg)
		if err != nil {
			return
		}
		if _, err := r.Verify(e.toI); err == nil && !bytes.Equal(data[8:InitiationSize-macsSize], first[8:InitiationSize-macsSize]) {
			t.Errorf("a forged initiation is taken: %x", data)
		}
	})
}

func FuzzFinishTakesNothingFromStrangers(f *testing.F) {
	e := newEnds(f)
	var first [InitiationSize]byte
	i, err := e.li.Initiate(e.toR, 7, Timestamp{1}, rand.Reader, &first)
	if err != nil {
		f.Fatal(err)
	}
	r, err := e.lr.Open(&first)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := r.Verify(e.toI); err != nil {
		f.Fatal(err)
	}
	var second [ResponseSize]byte
	if _, err := r.Answer(e.toI, 9, rand.Reader, &second); err != nil {
		f.Fatal(err)
	}
	f.Add(second[:])
	f.Add(first[:ResponseSize])
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) != ResponseSize {
			return
		}
		msg := [ResponseSize]byte(data)
		if _, err := i.Finish(e.li, &msg); err == nil && !bytes.Equal(data[atAnswer:ResponseSize-macsSize], second[atAnswer:ResponseSize-macsSize]) {
			t.Errorf("a forged response is taken: %x", data)
		}
	})
}

func FuzzTakeTakesNothingFromStrangers(f *testing.F) {
	e := newEnds(f)
	c, s := NewChecker(e.lr.Public(), rand.Reader), NewStamper(e.lr.Public())
	msg := make([]byte, InitiationSize)
	s.Stamp(msg, time.Hour)
	var reply [CookieSize]byte
	if err := c.Reply(msg, netip.MustParseAddrPort("192.0.2.1:5"), time.Hour, &reply); err != nil {
		f.Fatal(err)
	}
	f.Add(reply[:])
	f.Add(msg[:CookieSize])
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) != CookieSize {
			return
		}
		fresh := *s // each has one reply
		got := [CookieSize]byte(data)
		if fresh.Take(&got, time.Hour) == nil && !bytes.Equal(data[atNonce:], reply[atNonce:]) {
			t.Errorf("a forged cookie is taken: %x", data)
		}
	})
}
