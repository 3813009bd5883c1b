// Package policy is what a user demands of an audit and what a user accepts,
// each acceptance with its reason.
package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// A Policy says which verdicts fail an audit. The zero value is the strictest
// that demands no id by name: every severity counts, every control must have
// shown its leak, nothing is waived.
type Policy struct {
	// Profile is the threat model in the user's words.
	Profile string
	// Required ids must have been tested.
	Required []string
	// Threshold is the least severity whose findings fail. Findings below it
	// are reported all the same.
	Threshold evidence.Severity
	// MinControls is the part of the controls that must have shown their leak,
	// 0 to 1. Zero stands for all.
	MinControls float64
	// OraclesFail makes blocked-oracle-remains fail.
	OraclesFail bool
	// Ratchet lets the findings of a baseline pass, and fails what got worse.
	Ratchet bool
	Flows   []Flow
	Windows []Window
	Waivers []Waiver
}

// A Flow may be on the wire.
type Flow struct {
	Name, Reason string
	To           netip.Prefix
	Proto        uint8  // 0 is any
	Port         uint16 // 0 is any
}

// A Window lets a life-cycle case leak a few datagrams of its stream.
type Window struct {
	ID, Variant, Reason string
	Frames              int
}

// A Waiver accepts the findings of a case until the end of a day, UTC.
type Waiver struct {
	ID, Variant, Reason, Owner string
	Expires                    time.Time // the first moment at which it no longer holds
	// Evidence is the fingerprint of the one finding that is accepted; empty
	// accepts all of the case.
	Evidence string
}

// Entries are the flows as a wire's declared policy has them.
func (p Policy) Entries() []evidence.Entry {
	var all []evidence.Entry
	for _, f := range p.Flows {
		all = append(all, evidence.Entry{Name: f.Name, Kind: evidence.Permit, Reason: f.Reason, To: f.To, Proto: f.Proto, ToPort: f.Port})
	}
	return all
}

// Window is how many datagrams of a stream a case may leak, and why.
func (p Policy) Window(id, variant string) (frames int, reason string) {
	for _, w := range p.Windows {
		if w.ID == id && w.Variant == variant {
			return w.Frames, w.Reason
		}
	}
	return 0, ""
}

// Accepts returns the waiver that accepts a finding at a time.
func (p Policy) Accepts(id, variant, fingerprint string, at time.Time) (Waiver, bool) {
	for _, w := range p.Waivers {
		if w.ID == id && w.Variant == variant && at.Before(w.Expires) && (w.Evidence == "" || w.Evidence == fingerprint) {
			return w, true
		}
	}
	return Waiver{}, false
}

// Expired returns the waivers that no longer hold.
func (p Policy) Expired(at time.Time) []Waiver {
	var all []Waiver
	for _, w := range p.Waivers {
		if !at.Before(w.Expires) {
			all = append(all, w)
		}
	}
	return all
}

// Counts reports whether a finding of this severity fails.
func (p Policy) Counts(s evidence.Severity) bool {
	return p.Threshold == "" || s.Rank() >= p.Threshold.Rank()
}

// Knows is an error naming the first id that known does not accept.
func (p Policy) Knows(known func(id string) bool) error {
	ids := append([]string(nil), p.Required...)
	for _, w := range p.Windows {
		ids = append(ids, w.ID)
	}
	for _, w := range p.Waivers {
		ids = append(ids, w.ID)
	}
	for _, id := range ids {
		if !known(id) {
			return fmt.Errorf("policy: %q is no id of the catalogue", strings.TrimSpace(id))
		}
	}
	return nil
}
