// Package probe tries to send what a guard must stop, and says what it tried.
// Whether anything left is not decided here: see the wire package.
package probe

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/lab/site"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// A Probe is one way out.
type Probe struct {
	Name string
	// To is the destination as people would name it.
	To string
	// Privileged probes need root of the namespace.
	Privileged bool
	// NeedsTunnel probes show on the wire only when a tunnel is up too.
	NeedsTunnel bool

	send func(*shot)
}

// An Order says how to run a probe.
type Order struct {
	Name  string
	Nonce string
	// Dev is the link that probes which choose one choose. Empty is eth0.
	Dev string
	// Carrier is the tunnel server's own endpoint. Zero is site.Server, port 1194.
	Carrier netip.AddrPort
	// Mark is what probes that set a firewall mark set. 0 is wg-quick's.
	Mark uint32
	// Target is whom gateway-side probes attack, at TargetMAC, and where those of
	// [Safe] send.
	Target    netip.Addr
	TargetMAC string
	// Quote is the start of an IP packet that a forged error answers.
	Quote []byte
	// Socket is the path of a daemon's unix socket.
	Socket string
}

// A Receipt says what a probe tried and how the kernel answered.
type Receipt struct {
	Probe string
	Nonce string
	UID   int
	Sends []Send
	// Sent counts the sends that the kernel accepted. A probe whose sends
	// were all refused has shown that, too.
	Sent     int
	Evidence wire.Evidence
	// Witness is the kernel's record that it will send something by itself, where
	// that is what the probe asked for.
	Witness string `json:",omitempty"`
}

// A Send is one attempt.
type Send struct {
	What  string
	Errno unix.Errno `json:",omitempty"` // 0 is success
	Error string     `json:",omitempty"`
}

func (r Receipt) String() string {
	text := fmt.Sprintf("%s as uid %d sent %d of %d", r.Probe, r.UID, r.Sent, len(r.Sends))
	for _, s := range r.Sends {
		if s.Error != "" {
			text += fmt.Sprintf("; %s: %s", s.What, s.Error)
		}
	}
	return text
}

// NewNonce returns 20 random characters that are also a valid DNS label.
func NewNonce() string {
	var b [11]byte
	_, _ = rand.Read(b[:]) // never fails
	return "vg" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// All returns the client-side probes.
func All() []Probe {
	return slices.Concat(plain(), names(), chosen(), groups(), raw(), frames())
}

// Find returns the probe called name, of all sides.
func Find(name string) (Probe, error) {
	for _, p := range slices.Concat(All(), Habits(), Owners(), byDaemon(), Attacks(), Forgeries(), Safe()) {
		if p.Name == name {
			return p, nil
		}
	}
	return Probe{}, fmt.Errorf("no probe is called %q", name)
}

// Run runs a probe in this process. The error means that it could not be
// tried; a refusal by the kernel is in the receipt.
func Run(o Order) (Receipt, error) {
	p, err := Find(o.Name)
	if err != nil {
		return Receipt{}, err
	}
	if o.Dev == "" {
		o.Dev = "eth0"
	}
	if !o.Carrier.IsValid() {
		o.Carrier = netip.AddrPortFrom(site.Server, 1194)
	}
	if o.Nonce == "" {
		return Receipt{}, fmt.Errorf("run probe %q: no nonce", o.Name)
	}
	s := &shot{Order: o, receipt: Receipt{Probe: o.Name, Nonce: o.Nonce, UID: os.Getuid()}}
	s.receipt.Evidence.Needles = [][]byte{[]byte(o.Nonce)}
	p.send(s)
	if s.broken != nil {
		return s.receipt, fmt.Errorf("run probe %q: %w", o.Name, s.broken)
	}
	if len(s.receipt.Sends) == 0 {
		return s.receipt, fmt.Errorf("run probe %q: it tried nothing", o.Name)
	}
	return s.receipt, nil
}

// shot is one run of a probe.
type shot struct {
	Order
	receipt Receipt
	broken  error
}

func (s *shot) payload() []byte { return []byte("vpnguard " + s.Nonce) }

// tried records one attempt.
func (s *shot) tried(what string, err error) {
	send := Send{What: what}
	if err != nil {
		send.Error = err.Error()
		if !errors.As(err, &send.Errno) {
			send.Errno = unix.EIO
		}
	} else {
		s.receipt.Sent++
	}
	s.receipt.Sends = append(s.receipt.Sends, send)
}

// fail records that the probe itself is not able to try, which is no verdict.
func (s *shot) fail(what string, err error) {
	if err != nil && s.broken == nil {
		s.broken = fmt.Errorf("%s: %w", what, err)
	}
}

func (s *shot) flow(f wire.Flow) {
	s.receipt.Evidence.Flows = append(s.receipt.Evidence.Flows, f)
}

// answerWait is how long a probe waits for an answer that decides what it does
// next, or stays so that the kernel sends on its behalf. The lab's round trip
// is below a millisecond.
const answerWait = 300 * time.Millisecond
