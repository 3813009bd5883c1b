package evidence

import "time"

// A Case is one variant of one class, with all its runs.
type Case struct {
	ID      string `json:"id"`      // of the catalogue
	Variant string `json:"variant"` // empty for the only one
	// Title says in a line what the probe does.
	Title string `json:"title"`
	// Harm is what a frame means that nothing explains.
	Harm Harm `json:"harm,omitempty"`
	// Rule is which rule of the guard should have stopped it, for a finding's
	// text. It is never evidence.
	Rule string `json:"rule,omitempty"`
	// Line is the offending line of the profile, from 1; 0 is none.
	Line int `json:"line,omitempty"`
	// Reproduce is the command for this case alone.
	Reproduce []string `json:"reproduce,omitempty"`
	// NotTested and NotApplicable are reasons, and exclude each other and runs.
	NotTested     string `json:"not_tested,omitempty"`
	NotApplicable string `json:"not_applicable,omitempty"`
	// Innocent marks a negative control: a probe that is known to be harmless,
	// so that a finding is the auditor's own fault. It has no control runs.
	Innocent bool  `json:"innocent,omitempty"`
	Runs     []Run `json:"runs,omitempty"`
	// Passive marks frames that were seen by watching, with no probe: it has no
	// control runs, and no silence of it proves anything.
	Passive bool `json:"passive,omitempty"`
	// Review is what was read on a running machine. Only a case without runs
	// has it.
	Review []Remark `json:"review,omitempty"`
}

// Probed reports whether something was sent, so that a control is to show it.
func (c Case) Probed() bool { return !c.Passive && len(c.Review) == 0 }

// A Remark is one thing that was read on a machine.
type Remark struct {
	// Subject tells remarks of a case apart, and is the same in the next audit.
	Subject string `json:"subject"`
	What    string `json:"what"`         // in a sentence
	Do      string `json:"do,omitempty"` // what closes it
	// Open says that it is a finding as things are, and not a mere note.
	Open bool `json:"open"`
}

// Harm is what a finding of a case amounts to. The zero value is a leak.
type Harm string

// The harms.
const (
	Leaks   Harm = ""
	Exposes Harm = "exposed"                // an oracle, an identifier, an inbound way
	Oracle  Harm = "blocked-oracle-remains" // nothing left, and yet one can tell
)

// A Phase says whether the guard was on. Only these two are judged.
type Phase string

// The phases.
const (
	Control Phase = "control"
	Guarded Phase = "guarded"
)

// A Run is one repetition of a case in one phase. Both phases of a repetition
// run the same stimuli in the same surroundings.
type Run struct {
	Repetition int        `json:"repetition"` // from 0
	Phase      Phase      `json:"phase"`
	Seed       uint64     `json:"seed"`
	Started    time.Time  `json:"started"`
	Ended      time.Time  `json:"ended"`
	Stimuli    []Stimulus `json:"stimuli"`
	Captures   []Capture  `json:"captures"`
	Tunnel     Tunnel     `json:"tunnel"`
	// Oracles are readings that an attacker could take without a frame of ours.
	Oracles []Reading `json:"oracles,omitempty"`
	// Timeline belongs to life-cycle cases.
	Timeline *Timeline `json:"timeline,omitempty"`
	// Error says what could not be done. It makes the run inconclusive.
	Error string `json:"error,omitempty"`
	// Opinions are the guard's counters and logs: shown, never judged.
	Opinions []Section `json:"opinions,omitempty"`
	// File holds the frames of all captures, in a bundle.
	File string `json:"file,omitempty"`
}

// A Tunnel is whether the tunnel worked, so that "all is broken" cannot pass.
type Tunnel struct {
	// Need is when it must work; the zero value is [During].
	Need When `json:"need,omitempty"`
	// Why is the reason for any other need.
	Why    string  `json:"why,omitempty"`
	Checks []Check `json:"checks"`
}

// When is a time relative to the stimuli.
type When string

// The times. Never is for a tunnel that has no part in the case.
const (
	During When = ""
	Before When = "before"
	After  When = "after"
	Never  When = "never"
)

// A Check is one look at the tunnel.
type Check struct {
	When   When      `json:"when,omitempty"`
	What   string    `json:"what"`
	Works  bool      `json:"works"`
	Detail string    `json:"detail,omitempty"` // what was seen instead
	At     time.Time `json:"at"`
}

// A Reading compares what an attacker sees with and without the stimulus. The
// oracle is there if the two differ.
type Reading struct {
	What   string `json:"what"`
	Quiet  int64  `json:"quiet"`
	Probed int64  `json:"probed"`
	// Again counts the readings before this one that differed: carriers of the
	// tunnel's own may do that once, an oracle does every time.
	Again int `json:"again,omitempty"`
	// Harm is what the oracle amounts to: [Exposes] or [Oracle]. Anything else
	// counts as exposed.
	Harm Harm `json:"harm"`
	// Window, if not nil, says which frames Probed counts, to be counted again.
	Window *Window `json:"window,omitempty"`
}

// A Window is the carrier frames of one vantage point between two times, the
// second excluded.
type Window struct {
	Vantage string    `json:"vantage"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
}

// A Timeline is a stream of numbered datagrams across events. Which of them
// leaked is computed from the frames.
type Timeline struct {
	Nonce   string    `json:"nonce"` // the number follows in eight bytes, big endian
	Rate    int       `json:"rate"`  // datagrams a second
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Sent    uint64    `json:"sent"`    // taken by the kernel
	Refused uint64    `json:"refused"` // refused by it
	Events  []Event   `json:"events"`
}

// An Event is what was done to the tunnel or to the host.
type Event struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}
