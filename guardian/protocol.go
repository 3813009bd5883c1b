// Package guardian is the resident part of vpnguard: it owns the tables, heals
// what others change, gives new interfaces their fence, and carries changes out
// for hooks that may not do so themselves.
//
// Hooks talk to it over a unix socket by one call and one reply, each a frame
// of JSON behind its length. The kernel says who calls (SO_PEERCRED).
package guardian

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/vpnguard/vpnguard/blocked"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
)

// Version is that of the protocol. A guardian refuses calls of another one:
// after an upgrade it has to be restarted, which opens nothing.
const Version = 2

// maxFrame bounds a frame, in bytes: a call with 10,000 endpoints has half of it.
const maxFrame = 1 << 20

// Verb is what a call asks for.
type Verb string

// All verbs there are.
const (
	VerbUp      Verb = "up"
	VerbUpdate  Verb = "update"
	VerbMove    Verb = "move"
	VerbRestart Verb = "restart"
	VerbStop    Verb = "stop"
	VerbLock    Verb = "lock"
	VerbConfirm Verb = "confirm"
	VerbUnlock  Verb = "unlock"
	VerbExpire  Verb = "expire"
	VerbRecover Verb = "recover"
	VerbInfo    Verb = "info"
	VerbFollow  Verb = "follow" // replies come until the caller hangs up
)

// Call is one request. Of the parts behind Verb those count that it needs.
type Call struct {
	Version   int                 `json:"version"`
	NetNS     uint64              `json:"netns"` // that the caller is in
	Verb      Verb                `json:"verb"`
	Up        *guard.Request      `json:"up,omitempty"`
	Lock      *guard.LockRequest  `json:"lock,omitempty"`
	Selection *guard.Selection    `json:"selection,omitempty"` // restart, stop
	PID       int                 `json:"pid,omitempty"`       // update, move: of the client
	Endpoints []endpoint.Endpoint `json:"endpoints,omitempty"` // update, move
	Trial     string              `json:"trial,omitempty"`     // expire
}

// Reply answers a call. Failure is nil if it was carried out; Result counts
// in both cases.
type Reply struct {
	Result  guard.Result `json:"result"`
	Failure *Failure     `json:"failure,omitempty"`
	Info    *Info        `json:"info,omitempty"`

	Event *blocked.Event `json:"event,omitempty"` // follow: the next one
}

// Failure is an error with its exit status and hint, as a command would end
// that did the work itself.
type Failure struct {
	Text   string `json:"text"`
	Code   int    `json:"code"`
	Hint   string `json:"hint,omitempty"`
	Denied bool   `json:"denied,omitempty"` // it is os.ErrPermission
}

func (f *Failure) Error() string { return f.Text }

// Is makes a denial os.ErrPermission again.
func (f *Failure) Is(target error) bool { return f.Denied && target == os.ErrPermission }

// Info is what the guardian tells of itself.
type Info struct {
	PID      int       `json:"pid"`
	Since    time.Time `json:"since"`
	Owns     bool      `json:"owns"` // nobody else can change the tables
	Heals    int       `json:"heals"`
	LastHeal *Heal     `json:"last_heal,omitempty"`
	// Blocked is what was blocked in the last minutes, the most frequent first.
	Blocked []blocked.Entry `json:"blocked"`
	Window  time.Duration   `json:"window"`
}

// Heal is one repair.
type Heal struct {
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took"`
	Drift    []string      `json:"drift"`
	Culprits []string      `json:"culprits"` // programs that changed our tables since the look before
}

// WriteFrame writes a value behind its length.
func WriteFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxFrame {
		return fmt.Errorf("a frame of %d bytes is more than %d", len(body), maxFrame)
	}
	frame := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	_, err = w.Write(append(frame, body...))
	return err
}

// ReadFrame reads one frame into v. Unknown fields, freight behind the value
// and lengths beyond the bound are errors; memory grows only with what came.
func ReadFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("read the length of a frame: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("a frame of %d bytes is more than %d", n, maxFrame)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(n)); err != nil {
		return fmt.Errorf("read a frame of %d bytes: %w", n, err)
	}
	dec := json.NewDecoder(&body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode a frame: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode a frame: something follows its value")
	}
	return nil
}

// check refuses calls that lack what their verb needs.
func (c Call) check() error {
	missing := false
	switch c.Verb {
	case VerbUp:
		missing = c.Up == nil
	case VerbLock:
		missing = c.Lock == nil
	case VerbStop, VerbRestart:
		missing = c.Selection == nil
	case VerbUpdate:
		missing = c.PID <= 0
	case VerbMove:
		missing = c.PID <= 0 || len(c.Endpoints) == 0
	case VerbExpire:
		missing = c.Trial == ""
	case VerbConfirm, VerbUnlock, VerbRecover, VerbInfo, VerbFollow:
	default:
		return fmt.Errorf("verb %q is none", c.Verb)
	}
	if missing {
		return fmt.Errorf("verb %q without what it needs", c.Verb)
	}
	return nil
}
