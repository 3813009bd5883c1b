package noise

import (
	"crypto/ecdh"
	"crypto/hmac"
	"errors"
	"hash"

	"golang.org/x/crypto/blake2s"
	"golang.org/x/crypto/chacha20poly1305"
)

const (
	construction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
	identifier   = "WireGuard v1 zx2c4 Jason@zx2c4.com"
	labelMAC1    = "mac1----"
	labelCookie  = "cookie--"
)

// ErrForged is returned for a message that is not what it must be. It tells
// nothing more: neither does a peer learn why.
var ErrForged = errors.New("handshake message is not authentic")

// symmetric is the state that both sides carry through a handshake: what the
// whitepaper calls C and H (5.4.2).
type symmetric struct {
	chain, hash [32]byte
}

// begin mixes the prologue and the responder's public key in, which the
// initiator must know.
func begin(prologue string, responder []byte) (s symmetric) {
	s.chain = blake2s.Sum256([]byte(construction))
	s.hash = s.chain
	s.mixHash([]byte(prologue))
	s.mixHash(responder)
	return s
}

func (s *symmetric) mixHash(data []byte) {
	buf := make([]byte, 0, 96)
	s.hash = blake2s.Sum256(append(append(buf, s.hash[:]...), data...))
}

// mixKey is Kdf1: input goes into the chain.
func (s *symmetric) mixKey(input []byte) { kdf(s.chain, input, &s.chain) }

// mixKeyed is Kdf2: input goes into the chain, and a key comes out.
func (s *symmetric) mixKeyed(input []byte) (k [32]byte) {
	kdf(s.chain, input, &s.chain, &k)
	return k
}

// mixShared is Kdf3 with the preshared key.
func (s *symmetric) mixShared(psk []byte) (k [32]byte) {
	var t [32]byte
	kdf(s.chain, psk, &s.chain, &t, &k)
	s.mixHash(t[:])
	clear(t[:])
	return k
}

// seal encrypts plain under k, which is used once, into dst, and mixes it in.
func (s *symmetric) seal(k *[32]byte, dst, plain []byte) {
	var nonce [chacha20poly1305.NonceSize]byte
	aead(k).Seal(dst[:0], nonce[:], plain, s.hash[:])
	clear(k[:])
	s.mixHash(dst)
}

// open is the other side of seal. dst is written to only if it succeeds.
func (s *symmetric) open(k *[32]byte, dst, sealed []byte) error {
	var nonce [chacha20poly1305.NonceSize]byte
	plain, err := aead(k).Open(nil, nonce[:], sealed, s.hash[:])
	clear(k[:])
	if err != nil {
		return ErrForged
	}
	copy(dst, plain)
	s.mixHash(sealed)
	return nil
}

// split ends the handshake: a key for each direction, the initiator's first.
func (s *symmetric) split() (initiator, responder [32]byte) {
	kdf(s.chain, nil, &initiator, &responder)
	*s = symmetric{}
	return initiator, responder
}

type sealer interface {
	Seal(dst, nonce, plaintext, additionalData []byte) []byte
	Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
}

func aead(k *[32]byte) sealer {
	a, err := chacha20poly1305.New(k[:])
	if err != nil {
		panic(err) // only a key of another size is refused
	}
	return a
}

// kdf is HKDF with HMAC-BLAKE2s (5.4): key is the salt, outputs follow each
// other. An output may be the key itself.
func kdf(key [32]byte, input []byte, out ...*[32]byte) {
	var secret, last [32]byte
	mac(secret[:0], key[:], input)
	for i, o := range out {
		if i == 0 {
			mac(last[:0], secret[:], []byte{1})
		} else {
			mac(last[:0], secret[:], last[:], []byte{byte(i + 1)})
		}
		*o = last
	}
	clear(secret[:])
	clear(last[:])
	clear(key[:])
}

func mac(dst, key []byte, parts ...[]byte) {
	m := hmac.New(newHash, key)
	for _, p := range parts {
		m.Write(p)
	}
	m.Sum(dst)
}

func newHash() hash.Hash {
	h, err := blake2s.New256(nil)
	if err != nil {
		panic(err) // only a long key is refused
	}
	return h
}

// shared is X25519. A point of low order, whose result would be known to
// everyone, is an error.
func shared(private *ecdh.PrivateKey, public []byte) ([]byte, error) {
	p, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, ErrForged
	}
	out, err := private.ECDH(p)
	if err != nil {
		return nil, ErrForged
	}
	return out, nil
}
