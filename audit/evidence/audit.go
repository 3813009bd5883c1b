// Package evidence is what an audit recorded, as plain data: who sent what, who
// answered, and which frames were on which wire. It draws no conclusion; the
// verdicts are computed from it, now or years later.
package evidence

import "time"

// Schema names the form of the JSON. Fields are added to it and never change
// their meaning; what must change gets the next number.
const Schema = "vpnguard-audit-evidence/1"

// An Audit is one whole run.
type Audit struct {
	Schema      string      `json:"schema"`
	Scope       Scope       `json:"scope"`
	Environment Environment `json:"environment"`
	Topology    Topology    `json:"topology"`
	// Catalogue has every class that is known, tested or not.
	Catalogue []Class `json:"catalogue"`
	Cases     []Case  `json:"cases"`
	// Mutants are the rules that a self-test took away, one or two at a time.
	Mutants  []Mutant  `json:"mutants,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Residual are the risks that no client can close, in sentences; they are
	// stated even when nothing was found.
	Residual []string `json:"residual"`
	// Interrupted says why the audit ended early. No verdict of an interrupted
	// audit is better than inconclusive for what it did not reach.
	Interrupted string `json:"interrupted,omitempty"`
}

// Scope says what was tested.
type Scope struct {
	Mode        string `json:"mode"` // lab or host
	ThreatModel string `json:"threat_model"`
	Client      Named  `json:"client"`
	Guard       Named  `json:"guard"` // name "none" audits the client alone
	// Auditor is this program; Catalogue the version of its list of classes.
	Auditor   Named   `json:"auditor"`
	Catalogue string  `json:"catalogue"`
	Profile   Profile `json:"profile"`
	Seed      uint64  `json:"seed"`
	Repeat    int     `json:"repeat"`
	// Command is what reproduces the audit, one argument an element.
	Command []string `json:"command"`
}

// Named is a program or a rule set, and which.
type Named struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Commit  string `json:"commit,omitempty"`
}

// A Profile is the VPN configuration that was tested. Its secrets are not here:
// Settings are those that the reader of the format knows to be none.
type Profile struct {
	// Path is below the user's repository; empty for the built-in default.
	Path     string   `json:"path,omitempty"`
	SHA256   string   `json:"sha256,omitempty"` // of the file as it was read
	Settings []string `json:"settings,omitempty"`
}

// A Class is one kind of leak.
type Class struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	// Test is where it can be tested: NS, NS+, HOST, SRV or DOC.
	Test string `json:"test"`
	// Text explains the class; Fix says what closes it; Sources has CVEs, RFCs, papers.
	Text    string   `json:"text,omitempty"`
	Fix     string   `json:"fix,omitempty"`
	Sources []string `json:"sources,omitempty"`
}

// A Severity is from the user's point of view. Anything unknown counts as
// critical.
type Severity string

// The severities.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Medium   Severity = "medium"
	Low      Severity = "low"
	Info     Severity = "info"
)

// Rank orders severities, 0 being info.
func (s Severity) Rank() int {
	switch s {
	case Info:
		return 0
	case Low:
		return 1
	case Medium:
		return 2
	case High:
		return 3
	case Critical:
		return 4
	}
	return 4
}

// A Mutant is a guard from which rules were taken.
type Mutant struct {
	Removed []string `json:"removed"`
	// Noticed are the ids whose probes leaked without the rules. None means
	// that the mutant survived: no probe depends on these rules.
	Noticed []string `json:"noticed"`
	Tunnel  bool     `json:"tunnel"` // whether the tunnel still worked
	Error   string   `json:"error,omitempty"`
}
