package verdict

import (
	"time"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// A Result is the verdict on one case, with all that it rests on.
type Result struct {
	ID      string  `json:"id"`
	Variant string  `json:"variant"`
	Title   string  `json:"title"`
	Verdict Verdict `json:"verdict"`
	// Found is what a waived case would be.
	Found Verdict `json:"found,omitempty"`
	// Reasons are sentences: why it is no pass, or what a pass rests on.
	Reasons  []string  `json:"reasons"`
	Findings []Finding `json:"findings,omitempty"`
	Runs     []Account `json:"runs,omitempty"`
	Waiver   *Waiver   `json:"waiver,omitempty"`
	// Fired is whether every control showed the leak.
	Fired bool `json:"fired"`
	// Case is where the result comes from; nil for a class without any.
	Case *evidence.Case `json:"-"`
}

// Name is the id and the variant.
func (r Result) Name() string { return Name(r.ID, r.Variant) }

// Name joins an id and a variant.
func Name(id, variant string) string {
	if variant == "" {
		return id
	}
	return id + "/" + variant
}

// A Waiver is what a policy says of an accepted finding.
type Waiver struct {
	Reason  string    `json:"reason"`
	Owner   string    `json:"owner"`
	Expires time.Time `json:"expires"`
}

// LastDay is the last day on which the waiver holds.
func (w Waiver) LastDay() string { return w.Expires.Add(-1).UTC().Format(time.DateOnly) }

// A Finding is one flow, at one vantage point, that nothing explains, or an
// oracle.
type Finding struct {
	// Fingerprint is the same in the next audit, whatever the ports and times.
	Fingerprint string    `json:"fingerprint"`
	Text        string    `json:"text"` // in sentences
	Flow        string    `json:"flow"`
	Vantage     string    `json:"vantage"`
	Repetition  int       `json:"repetition"` // the first in which it was seen
	Stimulus    string    `json:"stimulus,omitempty"`
	Count       int       `json:"count"` // frames
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	Frames      []Frame   `json:"frames,omitempty"` // the first of them
	// Numbers are the places of its frames in the capture of the first
	// repetition that saw it, from 1.
	Numbers []int   `json:"numbers,omitempty"`
	Verdict Verdict `json:"verdict"`
	Waived  bool    `json:"waived,omitempty"`
}

// hasFrames is false of an oracle.
func (f Finding) hasFrames() bool { return len(f.Numbers) > 0 }

// A Frame is one frame of a finding.
type Frame struct {
	// Number is its place among the capture's frames, from 1.
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	Length int       `json:"length"`
	Text   string    `json:"text"` // decoded in one line
	Data   []byte    `json:"data"` // cut to its first bytes
}

// An Account is what one run showed.
type Account struct {
	Repetition int              `json:"repetition"`
	Phase      evidence.Phase   `json:"phase"`
	Started    time.Time        `json:"started"`
	Ended      time.Time        `json:"ended"`
	File       string           `json:"file,omitempty"`
	Proofs     []Proof          `json:"proofs"`
	Captures   []CaptureAccount `json:"captures"`
	Timeline   *Timeline        `json:"timeline,omitempty"`
}

// A Proof is one of the things that a pass needs.
type Proof struct {
	What  string   `json:"what"`
	Holds bool     `json:"holds"`
	Why   []string `json:"why"` // what it rests on, or what is missing
}

// The proofs. A control run has fewer of them.
const (
	ProofControl  = "positive control"
	ProofSame     = "same conditions" // in control and guarded run
	ProofReceipt  = "stimulus receipt"
	ProofCapture  = "capture liveness"
	ProofTunnel   = "tunnel liveness"
	ProofExplains = "full explanation"
)

// A CaptureAccount says what became of every frame of a capture.
type CaptureAccount struct {
	Vantage   string         `json:"vantage"`
	Decides   bool           `json:"decides"`
	Frames    int            `json:"frames"`
	Explained map[string]int `json:"explained,omitempty"` // by the entry's name
	Unknown   int            `json:"unexplained"`
	Stimulus  int            `json:"stimulus"` // frames with a stimulus's signs
	Drops     uint64         `json:"drops"`
	Truncated int            `json:"truncated"`
	Canaries  []string       `json:"canaries,omitempty"`
}

// A Timeline is what leaked of a stream.
type Timeline struct {
	Rate    int              `json:"rate"`
	Started time.Time        `json:"started"`
	Ended   time.Time        `json:"ended"`
	Sent    uint64           `json:"sent"`
	Refused uint64           `json:"refused"`
	Events  []evidence.Event `json:"events"`
	// Leaked counts the datagrams of the stream on the wires, Tunnelled those
	// seen inside the tunnel, each number once.
	Leaked    int `json:"leaked"`
	Tunnelled int `json:"tunnelled"`
	// Bins count them over time, from Started on.
	BinMS         int64 `json:"bin_ms"`
	LeakedBins    []int `json:"leaked_bins"`
	TunnelledBins []int `json:"tunnelled_bins"`
	// First and Last are when the first and the last leaked; zero if none did.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// LongestGapMS is the longest time without a datagram anywhere.
	LongestGapMS int64 `json:"longest_gap_ms"`
}
