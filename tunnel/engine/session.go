package engine

import (
	"time"

	"github.com/vpnguard/vpnguard/tunnel/crypt"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/replay"
)

// session is a pair of keys with one peer.
type session struct {
	peer          *Peer
	local, remote uint32 // indices
	created       time.Duration
	initiator     bool // ours was the initiation, so rekeying is our task
	asked         bool // the last chance to rekey was taken
	send, receive *crypt.Key
	counter       uint64 // of the next packet
	window        replay.Window
}

// newSession takes the keys of a handshake and erases them.
func newSession(p *Peer, local uint32, k *noise.Keys, now time.Duration, initiator bool) (*session, error) {
	defer k.Erase()
	send, err := crypt.NewKey(&k.Send)
	if err != nil {
		return nil, err
	}
	receive, err := crypt.NewKey(&k.Receive)
	if err != nil {
		return nil, err
	}
	return &session{peer: p, local: local, remote: k.Remote, created: now, initiator: initiator, send: send, receive: receive}, nil
}

// usable reports whether n more packets may be sent.
func (s *session) usable(now time.Duration, n int) bool {
	return s != nil && now-s.created < rejectAfterTime && s.counter < rejectAfterMessages-uint64(n)
}

// stale reports whether whoever sends should ask for new keys.
func (s *session) stale(now time.Duration) bool {
	return s.counter >= rekeyAfterMessages || s.initiator && now-s.created >= rekeyAfterTime
}

// drop ends a session; nil is none. The ciphers' own copies of the keys go
// with the last reference to them.
func (e *Engine) drop(s *session) {
	if s == nil {
		return
	}
	if e.indices[s.local].session == s {
		delete(e.indices, s.local)
	}
	s.send, s.receive, s.window = nil, nil, replay.Window{}
}
