// Package crypt seals and opens runs of transport packets: many packets of one
// session at once, so that a kernel that works on several packets in parallel
// can stand behind the same interface as one that takes them one by one.
package crypt

import (
	"crypto/cipher"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"
)

// Sizes in bytes.
const (
	KeySize  = chacha20poly1305.KeySize
	Overhead = chacha20poly1305.Overhead // of the tag behind each packet
)

// Run is up to any number of plaintext packets that follow each other in one
// buffer, as the kernel hands a segmented super-packet over: first the room of
// one header, then all bodies without gaps.
//
//	Buf:   [room][body 0][body 1] ... [body n-1]
//	Heads: [head 0][head 1] ... [head n-1]
//
// Packet i is head i followed by body i. Every body has Size bytes but the
// last, which has the rest. Head is the length of one header; Buf begins with
// that much room, and its capacity leaves 16 bytes behind for padding. Sealing
// overwrites Buf.
type Run struct {
	Buf   []byte
	Heads []byte
	Head  int
	Size  int
	// Pad rounds each packet up to a multiple of 16 with zeros, but never
	// beyond Limit. It hides little, and the protocol asks for it.
	Limit int
}

// Count returns the number of packets.
func (r Run) Count() int {
	body := len(r.Buf) - r.Head
	if body <= r.Size {
		return 1
	}
	return (body + r.Size - 1) / r.Size
}

// Padded returns the length of a packet of n bytes with its padding.
func Padded(n, limit int) int {
	if n >= limit {
		return n
	}
	return min((n+15)&^15, limit)
}

// Key is one direction of one session. It is not safe for concurrent use: the
// nonce is its own.
type Key struct {
	aead  cipher.AEAD
	nonce [chacha20poly1305.NonceSize]byte
}

// NewKey takes a copy of key, which the caller erases.
func NewKey(key *[KeySize]byte) (*Key, error) {
	aead, err := chacha20poly1305.New(key[:])
	if err != nil {
		return nil, err
	}
	return &Key{aead: aead}, nil
}

// counter sets the nonce: 4 zero bytes, then the counter, little endian
// (whitepaper, 5.4.6).
func (k *Key) counter(n uint64) []byte {
	binary.LittleEndian.PutUint64(k.nonce[4:], n)
	return k.nonce[:]
}

// Seal seals packet of r under counter first+i and puts it at dst[i*stride+at:].
// The ciphertext of each packet has [Padded] plus [Overhead] bytes; the length
// of the last is returned. dst must not overlap r.Buf.
func (k *Key) Seal(dst []byte, stride, at int, r Run, first uint64) (last int) {
	n := r.Count()
	for i := range n {
		start := i * r.Size
		end := min(start+r.Head+r.Size, len(r.Buf))
		// The header goes over the end of the body before, which is sealed.
		copy(r.Buf[start:start+r.Head], r.Heads[i*r.Head:])
		last = k.one(dst[i*stride+at:], r.Buf, start, end, r.Limit, first+uint64(i))
	}
	return last
}

// one seals buf[start:end] with padding. The bytes behind belong to the next
// packet: what the padding covers is put back.
func (k *Key) one(dst, buf []byte, start, end, limit int, counter uint64) int {
	padded := Padded(end-start, limit)
	if grow := start + padded - end; grow > 0 {
		var kept [16]byte
		room := buf[end : end+grow : cap(buf)]
		copy(kept[:], room)
		clear(room)
		k.aead.Seal(dst[:0], k.counter(counter), buf[start:start+padded:cap(buf)], nil)
		copy(room, kept[:])
	} else {
		k.aead.Seal(dst[:0], k.counter(counter), buf[start:end], nil)
	}
	return padded + Overhead
}

// SealOne seals one packet, which is padded in dst and stays as it is, and
// returns the length of the ciphertext. dst has room for it.
func (k *Key) SealOne(dst, packet []byte, limit int, counter uint64) int {
	plain := dst[:Padded(len(packet), limit)]
	clear(plain[copy(plain, packet):])
	return len(k.aead.Seal(dst[:0], k.counter(counter), plain, nil))
}

// Open opens n packets in place. Packet i is the size bytes at buf[i*stride:];
// its plaintext, [Overhead] bytes shorter, replaces it. It sets ok[i] to
// whether the packet is authentic; what is not is overwritten with zeros.
func (k *Key) Open(buf []byte, stride, size int, counters []uint64, ok []bool) {
	for i, c := range counters {
		p := buf[i*stride : i*stride+size]
		_, err := k.aead.Open(p[:0], k.counter(c), p, nil)
		ok[i] = err == nil
	}
}
