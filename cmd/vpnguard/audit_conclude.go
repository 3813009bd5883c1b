package main

import (
	"fmt"
	"os"

	"github.com/vpnguard/vpnguard/audit/conclude"
	"github.com/vpnguard/vpnguard/audit/evidence"
)

// auditResult is what is demanded of an audit, and where its report and its
// evidence go.
type auditResult struct {
	Policy   string   `help:"What is required and what is accepted, as TOML." type:"existingfile" placeholder:"FILE"`
	Baseline string   `help:"What an earlier audit found, to be held against." type:"existingfile" placeholder:"FILE"`
	Output   string   `help:"Write the evidence, as a directory or a .tar, which must not exist." placeholder:"DIR"`
	Format   []string `help:"How to report: text, json, sarif, code-scanning, junit, tap, html, annotations, summary, baseline or attestation; with =FILE, there. May be given several times; default: text." sep:"none" placeholder:"FORMAT[=FILE]"`

	demands conclude.Demands
	outputs []auditOutput
}

// read reads the user's files, before anything is sent.
func (r *auditResult) read() (err error) {
	if r.outputs, err = parseFormats(r.Format); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		into *[]byte
	}{{r.Policy, &r.demands.Policy}, {r.Baseline, &r.demands.Baseline}} {
		if f.name == "" {
			continue
		}
		if *f.into, err = os.ReadFile(f.name); err != nil {
			return &usageError{fmt.Errorf("read %q: %w", f.name, err), "nothing was sent"}
		}
	}
	if err := r.demands.Check(knownLeak); err != nil {
		return &usageError{err, "nothing was sent; `vpnguard audit list` prints all ids"}
	}
	return nil
}

// tell judges and reports. The error is the exit status, too.
func (r *auditResult) tell(w *world, a evidence.Audit) error {
	c, err := conclude.Audit(a, r.demands)
	if err != nil {
		return err
	}
	if r.Output != "" {
		if err := c.Files.Write(r.Output); err != nil {
			return err
		}
	}
	for _, o := range r.outputs {
		if err := o.write(w, c.Report); err != nil {
			return err
		}
	}
	return exitOf(c.Report.Outcome)
}
