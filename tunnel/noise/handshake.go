package noise

import (
	"crypto/ecdh"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Local is our own identity.
type Local struct {
	private *ecdh.PrivateKey
	public  key.Public
}

// NewLocal takes our private key.
func NewLocal(k key.Private) (*Local, error) {
	raw := k.Bytes()
	defer clear(raw[:])
	private, err := ecdh.X25519().NewPrivateKey(raw[:])
	if err != nil {
		return nil, fmt.Errorf("take the private key: %w", err)
	}
	return &Local{private, key.Public(private.PublicKey().Bytes())}, nil
}

// Public returns our public key.
func (l *Local) Public() key.Public { return l.public }

// Private returns a copy of our private key.
func (l *Local) Private() key.Private { return key.PrivateFrom([key.Size]byte(l.private.Bytes())) }

// Remote is what we know of a peer before we meet it.
type Remote struct {
	public key.Public
	psk    [32]byte
	static [32]byte // X25519 of our static key and the peer's, computed once
}

// NewRemote prepares a peer. A public key of low order is an error: anyone
// could be that peer.
func (l *Local) NewRemote(public key.Public, psk key.Preshared) (*Remote, error) {
	ss, err := shared(l.private, public[:])
	if err != nil {
		return nil, fmt.Errorf("public key %q: it is of low order and protects nothing", public)
	}
	defer clear(ss)
	return &Remote{public: public, psk: psk.Bytes(), static: [32]byte(ss)}, nil
}

// Preshared returns the preshared key; zero: none.
func (r *Remote) Preshared() key.Preshared { return key.PresharedFrom(r.psk) }

// WithPreshared returns the same peer with another preshared key, at no cost.
func (r *Remote) WithPreshared(psk key.Preshared) *Remote {
	return &Remote{public: r.public, psk: psk.Bytes(), static: r.static}
}

// Erase forgets the secrets. r is of no use afterwards.
func (r *Remote) Erase() { *r = Remote{} }

// Keys are what a handshake yields. Whoever takes them erases them.
type Keys struct {
	Send, Receive [32]byte
	Remote        uint32 // the index that the peer chose
}

// Erase forgets the keys.
func (k *Keys) Erase() { *k = Keys{} }

// Initiator is a handshake that we began and that is not answered yet.
type Initiator struct {
	symmetric
	ephemeral *ecdh.PrivateKey
	remote    *Remote
}

// Initiate writes an initiation to r, without its MACs.
func (l *Local) Initiate(r *Remote, index uint32, stamp Timestamp, random io.Reader, msg *[InitiationSize]byte) (*Initiator, error) {
	ephemeral, err := newEphemeral(random)
	if err != nil {
		return nil, err
	}
	i := &Initiator{begin(identifier, r.public[:]), ephemeral, r}
	clear(msg[:])
	msg[0] = TypeInitiation
	binary.LittleEndian.PutUint32(msg[atSender:], index)
	return i, i.write(l, msg[atEphemeral:InitiationSize-macsSize], stamp[:])
}

// write is the first message of the pattern: e, es, s, ss and the payload.
func (i *Initiator) write(l *Local, out, payload []byte) error {
	copy(out, i.ephemeral.PublicKey().Bytes())
	i.mixKey(out[:32])
	i.mixHash(out[:32])
	es, err := shared(i.ephemeral, i.remote.public[:])
	if err != nil {
		return err
	}
	k := i.mixKeyed(es)
	clear(es)
	i.seal(&k, out[32:32+staticSize], l.public[:])
	k = i.mixKeyed(i.remote.static[:])
	i.seal(&k, out[32+staticSize:], payload)
	return nil
}

// Finish takes the answer. An error leaves i as it was: a forged answer must
// not end a handshake that the true one can still complete.
func (i *Initiator) Finish(l *Local, msg *[ResponseSize]byte) (Keys, error) {
	out, err := i.read(l, nil, msg[atAnswer:ResponseSize-macsSize])
	out.Remote = Sender(msg[:])
	return out, err
}

// read is the second message: e, ee, se, psk and a payload, which WireGuard
// leaves empty.
func (i *Initiator) read(l *Local, payload, in []byte) (Keys, error) {
	s := i.symmetric
	defer func() { s = symmetric{} }()
	ephemeral := in[:32]
	ee, err := shared(i.ephemeral, ephemeral)
	if err != nil {
		return Keys{}, err
	}
	defer clear(ee)
	se, err := shared(l.private, ephemeral)
	if err != nil {
		return Keys{}, err
	}
	defer clear(se)
	s.mixKey(ephemeral)
	s.mixHash(ephemeral)
	s.mixKey(ee)
	s.mixKey(se)
	k := s.mixShared(i.remote.psk[:])
	if err := s.open(&k, payload, in[32:]); err != nil {
		return Keys{}, err
	}
	var out Keys
	out.Send, out.Receive = s.split()
	return out, nil
}

// Erase forgets the handshake. i is of no use afterwards.
func (i *Initiator) Erase() { *i = Initiator{} }

// Responder is an initiation that we received.
type Responder struct {
	symmetric
	peer      key.Public
	ephemeral [32]byte
	sender    uint32
	sealed    []byte // the payload
}

// Open reads who sent an initiation, at the cost of one X25519. The sender has
// proved nothing yet: [Responder.Verify] follows.
func (l *Local) Open(msg *[InitiationSize]byte) (*Responder, error) {
	r := &Responder{symmetric: begin(identifier, l.public[:]), sender: Sender(msg[:])}
	return r, r.read(l, msg[atEphemeral:InitiationSize-macsSize])
}

func (r *Responder) read(l *Local, in []byte) error {
	copy(r.ephemeral[:], in)
	r.mixKey(r.ephemeral[:])
	r.mixHash(r.ephemeral[:])
	es, err := shared(l.private, r.ephemeral[:])
	if err != nil {
		return err
	}
	k := r.mixKeyed(es)
	clear(es)
	r.sealed = append([]byte(nil), in[32+staticSize:]...)
	return r.open(&k, r.peer[:], in[32:32+staticSize])
}

// Peer returns the public key that the sender claims.
func (r *Responder) Peer() key.Public { return r.peer }

// Verify proves that the sender is remote and returns its timestamp, which
// must be later than every one before.
func (r *Responder) Verify(remote *Remote) (stamp Timestamp, err error) {
	return stamp, r.prove(remote, stamp[:])
}

func (r *Responder) prove(remote *Remote, payload []byte) error {
	k := r.mixKeyed(remote.static[:])
	return r.open(&k, payload, r.sealed)
}

// Answer writes the response, without its MACs. Call it once, after Verify.
func (r *Responder) Answer(remote *Remote, index uint32, random io.Reader, msg *[ResponseSize]byte) (Keys, error) {
	ephemeral, err := newEphemeral(random)
	if err != nil {
		return Keys{}, err
	}
	clear(msg[:])
	msg[0] = TypeResponse
	binary.LittleEndian.PutUint32(msg[atSender:], index)
	binary.LittleEndian.PutUint32(msg[atReceiver:], r.sender)
	sender := r.sender
	out, err := r.write(remote, ephemeral, msg[atAnswer:ResponseSize-macsSize], nil)
	out.Remote = sender
	return out, err
}

func (r *Responder) write(remote *Remote, ephemeral *ecdh.PrivateKey, out, payload []byte) (Keys, error) {
	defer func() { *r = Responder{} }()
	copy(out, ephemeral.PublicKey().Bytes())
	r.mixKey(out[:32])
	r.mixHash(out[:32])
	for _, public := range [][]byte{r.ephemeral[:], remote.public[:]} {
		dh, err := shared(ephemeral, public)
		if err != nil {
			return Keys{}, err
		}
		r.mixKey(dh)
		clear(dh)
	}
	k := r.mixShared(remote.psk[:])
	r.seal(&k, out[32:], payload)
	var keys Keys
	keys.Receive, keys.Send = r.split()
	return keys, nil
}

func newEphemeral(random io.Reader) (*ecdh.PrivateKey, error) {
	var raw [32]byte
	defer clear(raw[:])
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return nil, fmt.Errorf("make an ephemeral key: %w", err)
	}
	k, err := ecdh.X25519().NewPrivateKey(raw[:])
	if err != nil {
		return nil, fmt.Errorf("make an ephemeral key: %w", err)
	}
	return k, nil
}
