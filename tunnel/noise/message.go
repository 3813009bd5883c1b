// Package noise is WireGuard's handshake: Noise_IKpsk2 with X25519,
// ChaCha20-Poly1305 and BLAKE2s, its two MACs and its cookies. It holds no
// peers, timers or sockets. Sections are those of the WireGuard whitepaper.
package noise

import "encoding/binary"

// Types of messages: the first of four bytes, the other three are zero.
const (
	TypeInitiation = 1
	TypeResponse   = 2
	TypeCookie     = 3
	TypeTransport  = 4
)

// Sizes of messages in bytes (5.4).
const (
	InitiationSize = 148
	ResponseSize   = 92
	CookieSize     = 64
	HeaderSize     = 16 // of a transport message
	TagSize        = 16
	// TransportSize is that of the shortest transport message: a keepalive.
	TransportSize = HeaderSize + TagSize

	macSize    = 16
	macsSize   = 2 * macSize
	staticSize = 32 + TagSize
)

// Offsets of fields.
const (
	atSender    = 4
	atEphemeral = 8 // of an initiation: then the static key and the timestamp
	atReceiver  = 8 // of a response
	atAnswer    = 12
	atTarget    = 4 // of a cookie reply, and of a transport message
	atNonce     = 8
	atCookie    = 32
	atCounter   = 8
)

// Kind returns the type of a datagram, or 0 for one that no version of the
// protocol has: a wrong size, a wrong type, reserved bytes that are not zero.
func Kind(datagram []byte) int {
	if len(datagram) < TransportSize {
		return 0
	}
	switch kind := binary.LittleEndian.Uint32(datagram); kind {
	case TypeTransport:
		return TypeTransport
	case TypeInitiation, TypeResponse, TypeCookie:
		if len(datagram) == [...]int{TypeInitiation: InitiationSize, TypeResponse: ResponseSize, TypeCookie: CookieSize}[kind] {
			return int(kind)
		}
	}
	return 0
}

// Sender returns the index that the sender of an initiation or response chose.
func Sender(msg []byte) uint32 { return binary.LittleEndian.Uint32(msg[atSender:]) }

// Receiver returns the index that we chose and that a response, cookie reply
// or transport message is for.
func Receiver(msg []byte) uint32 {
	if msg[0] == TypeResponse {
		return binary.LittleEndian.Uint32(msg[atReceiver:])
	}
	return binary.LittleEndian.Uint32(msg[atTarget:])
}

// Counter returns the counter of a transport message.
func Counter(msg []byte) uint64 { return binary.LittleEndian.Uint64(msg[atCounter:]) }

// PutHeader writes the header of a transport message.
func PutHeader(msg []byte, receiver uint32, counter uint64) {
	binary.LittleEndian.PutUint32(msg, TypeTransport)
	binary.LittleEndian.PutUint32(msg[atTarget:], receiver)
	binary.LittleEndian.PutUint64(msg[atCounter:], counter)
}
