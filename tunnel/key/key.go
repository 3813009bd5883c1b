// Package key holds WireGuard's keys as types: a private and a preshared key
// never print themselves, and a public key has one text form.
package key

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// Size of every key in bytes.
const Size = 32

// textSize is 32 bytes in base64 with its padding.
const textSize = 44

// ErrFormat is returned for a text that is no key. It never holds the text,
// which may be a secret with one wrong letter.
var ErrFormat = errors.New("a key is 32 bytes in base64: 44 characters that end in =")

// strict refuses texts that decode to the same key as another text.
var strict = base64.StdEncoding.Strict()

func decode(text []byte) (out [Size]byte, err error) {
	if len(text) != textSize {
		return out, ErrFormat
	}
	var buf [Size + 1]byte
	n, err := strict.Decode(buf[:], text)
	if err != nil || n != Size {
		return out, ErrFormat
	}
	copy(out[:], buf[:])
	clear(buf[:])
	return out, nil
}

// Public is a peer's public key, which is also its name. The zero value is no
// key.
type Public [Size]byte

// ParsePublic reads a key as `wg pubkey` writes it.
func ParsePublic(s string) (Public, error) {
	b, err := decode([]byte(s))
	return Public(b), err
}

// String returns what [ParsePublic] reads.
func (k Public) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// MarshalText returns [Public.String].
func (k Public) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is [ParsePublic]. An error leaves k as it was.
func (k *Public) UnmarshalText(text []byte) error {
	b, err := decode(text)
	if err == nil {
		*k = b
	}
	return err
}

// IsZero reports whether k is no key.
func (k Public) IsZero() bool { return k == Public{} }

// Private is a private key. It prints as a placeholder in every form; only
// [Private.Reveal] gives its text. The zero value is no key.
type Private struct{ secret }

// Preshared is the symmetric key that two peers may mix into their handshake.
// It prints as a placeholder; the zero value means none.
type Preshared struct{ secret }

// NewPrivate takes a key from random (nil: the system's generator).
func NewPrivate(random io.Reader) (Private, error) {
	s, err := read(random)
	if err != nil {
		return Private{}, fmt.Errorf("make a private key: %w", err)
	}
	// Clamped as RFC 7748, section 5, and `wg genkey` have it.
	s.b[0] &= 248
	s.b[31] = s.b[31]&127 | 64
	return Private{s}, nil
}

// NewPreshared takes a key from random (nil: the system's generator).
func NewPreshared(random io.Reader) (Preshared, error) {
	s, err := read(random)
	if err != nil {
		return Preshared{}, fmt.Errorf("make a preshared key: %w", err)
	}
	return Preshared{s}, nil
}

func read(random io.Reader) (s secret, err error) {
	if random == nil {
		random = rand.Reader
	}
	_, err = io.ReadFull(random, s.b[:])
	return s, err
}

// ParsePrivate reads a key as `wg genkey` writes it.
func ParsePrivate(s string) (Private, error) {
	b, err := decode([]byte(s))
	return Private{secret{b}}, err
}

// ParsePreshared reads a key as `wg genpsk` writes it.
func ParsePreshared(s string) (Preshared, error) {
	b, err := decode([]byte(s))
	return Preshared{secret{b}}, err
}

// PrivateFrom takes the bytes of a private key. The caller erases its own.
func PrivateFrom(b [Size]byte) Private { return Private{secret{b}} }

// PresharedFrom takes the bytes of a preshared key; zeros are none. The caller
// erases its own.
func PresharedFrom(b [Size]byte) Preshared { return Preshared{secret{b}} }

// Public returns the public key that belongs to k.
func (k Private) Public() (Public, error) {
	p, err := ecdh.X25519().NewPrivateKey(k.b[:])
	if err != nil {
		return Public{}, fmt.Errorf("find the public key: %w", err)
	}
	return Public(p.PublicKey().Bytes()), nil
}
