package noise

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"net/netip"
	"time"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// CookieLife is how long a cookie is good for, and how long the secret behind
// it is kept (6.1, 5.4.7).
const CookieLife = 120 * time.Second

func labelled(label string, public key.Public) [32]byte {
	return blake2s.Sum256(append([]byte(label), public[:]...))
}

// keyed is BLAKE2s with a 16-byte output and a key.
func keyed(k []byte) hash.Hash {
	h, err := blake2s.New128(k)
	if err != nil {
		panic(err) // only a long or missing key is refused
	}
	return h
}

func sum(h hash.Hash, parts ...[]byte) (out [macSize]byte) {
	h.Reset()
	for _, p := range parts {
		h.Write(p)
	}
	h.Sum(out[:0])
	return out
}

// Stamper writes the MACs of messages to one peer. Times are those of a clock
// that never goes back.
type Stamper struct {
	mac1      hash.Hash
	cookieKey [32]byte
	last      [macSize]byte // MAC1 of the last message, which a cookie reply must know
	sent      bool
	cookie    [macSize]byte
	until     time.Duration // when the cookie ends; 0: there is none
}

// NewStamper makes a stamper for messages to peer.
func NewStamper(peer key.Public) *Stamper {
	k := labelled(labelMAC1, peer)
	return &Stamper{mac1: keyed(k[:]), cookieKey: labelled(labelCookie, peer)}
}

// Stamp writes the last 32 bytes of a handshake message.
func (s *Stamper) Stamp(msg []byte, now time.Duration) {
	body, macs := msg[:len(msg)-macsSize], msg[len(msg)-macsSize:]
	s.last, s.sent = sum(s.mac1, body), true
	copy(macs, s.last[:])
	clear(macs[macSize:])
	if now < s.until {
		mac2 := sum(keyed(s.cookie[:]), msg[:len(msg)-macSize])
		copy(macs[macSize:], mac2[:])
	}
}

// Take reads a cookie reply to the last message.
func (s *Stamper) Take(msg *[CookieSize]byte, now time.Duration) error {
	if !s.sent {
		return ErrForged
	}
	a, err := chacha20poly1305.NewX(s.cookieKey[:])
	if err != nil {
		return err
	}
	plain, err := a.Open(nil, msg[atNonce:atCookie], msg[atCookie:], s.last[:])
	if err != nil {
		return ErrForged
	}
	copy(s.cookie[:], plain)
	s.until = now + CookieLife
	s.sent = false // one reply for a message
	return nil
}

// Checker checks the MACs of messages to us and answers with cookies.
type Checker struct {
	mac1      hash.Hash
	cookieKey [32]byte
	secret    [32]byte
	until     time.Duration // when the secret is replaced; 0: there is none
	random    io.Reader
}

// NewChecker makes a checker for messages to the owner of public.
func NewChecker(public key.Public, random io.Reader) *Checker {
	k := labelled(labelMAC1, public)
	return &Checker{mac1: keyed(k[:]), cookieKey: labelled(labelCookie, public), random: random}
}

// MAC1 reports whether msg's sender knows our public key.
func (c *Checker) MAC1(msg []byte) bool {
	want := sum(c.mac1, msg[:len(msg)-macsSize])
	return subtle.ConstantTimeCompare(want[:], msg[len(msg)-macsSize:len(msg)-macSize]) == 1
}

// MAC2 reports whether msg's sender receives what is sent to from.
func (c *Checker) MAC2(msg []byte, from netip.AddrPort, now time.Duration) bool {
	if now >= c.until {
		return false
	}
	cookie := c.cookie(from)
	want := sum(keyed(cookie[:]), msg[:len(msg)-macSize])
	return subtle.ConstantTimeCompare(want[:], msg[len(msg)-macSize:]) == 1
}

func (c *Checker) cookie(from netip.AddrPort) [macSize]byte {
	addr := from.Addr().As16()
	return sum(keyed(c.secret[:]), addr[:], binary.BigEndian.AppendUint16(nil, from.Port()))
}

// Reply writes a cookie reply to msg, an initiation or response that came from
// the address.
func (c *Checker) Reply(msg []byte, from netip.AddrPort, now time.Duration, out *[CookieSize]byte) error {
	if now >= c.until {
		if _, err := io.ReadFull(c.random, c.secret[:]); err != nil {
			return fmt.Errorf("make a cookie's secret: %w", err)
		}
		c.until = now + CookieLife
	}
	clear(out[:])
	out[0] = TypeCookie
	binary.LittleEndian.PutUint32(out[atTarget:], Sender(msg))
	if _, err := io.ReadFull(c.random, out[atNonce:atCookie]); err != nil {
		return fmt.Errorf("make a cookie's nonce: %w", err)
	}
	a, err := chacha20poly1305.NewX(c.cookieKey[:])
	if err != nil {
		return err
	}
	cookie := c.cookie(from)
	a.Seal(out[atCookie:atCookie], out[atNonce:atCookie], cookie[:], msg[len(msg)-macsSize:len(msg)-macSize])
	return nil
}
