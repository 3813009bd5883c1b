// Package worker is the process that moves a tunnel's packets: it gets its
// descriptors and keys from a supervisor with more rights, gives up its own, and
// tells the supervisor how it goes. Both talk in lines of JSON over a socket pair
// that nobody else can reach.
package worker

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/vpnguard/vpnguard/tunnel/key"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// Order is what the supervisor says; one part of it is set.
type Order struct {
	Setup *Setup `json:",omitempty"` // the first order, and only that
	Begin bool   `json:",omitempty"` // the host is closed: packets may leave
	Move  *Move  `json:",omitempty"` // peers are elsewhere, and the seal is around that
}

// Report is what the worker says; one part of it is set.
type Report struct {
	Ready      *Ready         `json:",omitempty"` // it has its socket and has given up its rights
	Completed  *key.Public    `json:",omitempty"` // a handshake with this peer
	At         netip.AddrPort `json:",omitzero"`  // where that peer is; not valid: anywhere
	Unanswered *Unanswered    `json:",omitempty"` // a handshake that is not
	MTU        int            `json:",omitempty"` // that the device is to have now
	Changed    *Change        `json:",omitempty"` // what the next worker must be given as well
	Failed     string         `json:",omitempty"` // why it ends
}

// Unanswered tells of a peer that let a handshake go unanswered.
type Unanswered struct {
	Peer   key.Public
	InARow int
}

// Ready tells what came of the setup.
type Ready struct {
	Port    uint16
	Missing []string // parts of its confinement that the kernel lacks
}

// Setup is a tunnel's configuration with its secrets.
type Setup struct {
	Name    string
	TUN     tun.Offload // of the descriptor that comes along
	MTU     int         // 0: what the paths take
	Port    uint16      // 0: any
	Mark    uint32
	Private Secret
	Peers   []Peer
	// Inside are the prefixes that belong in the tunnel whichever peer has them,
	// and Sealed the places that the seal lets it send to. Within both, peers may
	// come, change and go.
	Inside []netip.Prefix
	Sealed []netip.AddrPort
}

// Peer is one peer of a setup.
type Peer struct {
	Public    key.Public
	Preshared Secret // empty: none
	Endpoints []netip.AddrPort
	Allowed   []netip.Prefix
	Keepalive time.Duration
}

// Secret is the text of a key, which only JSON gets to see: the protocol's, and
// nothing else is ever made of a setup.
type Secret string

// Format writes a placeholder for every verb.
func (Secret) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "(secret)") }

// LogValue returns a placeholder.
func (Secret) LogValue() slog.Value { return slog.StringValue("(secret)") }

// Sender writes messages of one direction.
type Sender struct {
	mu sync.Mutex
	to *json.Encoder
}

// NewSender sends to w.
func NewSender(w io.Writer) *Sender { return &Sender{to: json.NewEncoder(w)} }

// Send sends an [Order] or a [Report]. It can be called from several goroutines.
func (s *Sender) Send(message any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Encode(message)
}
