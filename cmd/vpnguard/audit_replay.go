package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/vpnguard/vpnguard/audit/bundle"
	"github.com/vpnguard/vpnguard/audit/conclude"
)

type auditReplayCommand struct {
	Bundle   string   `arg:"" help:"Evidence that audit lab --output wrote." placeholder:"BUNDLE"`
	Policy   string   `help:"Hold this policy against the evidence instead of its own." type:"existingfile" placeholder:"FILE"`
	Baseline string   `help:"Hold this baseline against it." type:"existingfile" placeholder:"FILE"`
	Format   []string `help:"How to report, as audit lab has it." sep:"none" placeholder:"FORMAT[=FILE]"`
}

// Run computes every verdict again from the evidence alone, starts nothing and
// changes nothing. It exits as the audit would.
func (c *auditReplayCommand) Run(w *world) error {
	outputs, err := parseFormats(c.Format)
	if err != nil {
		return err
	}
	var other conclude.Demands
	for _, f := range []struct {
		name string
		into *[]byte
	}{{c.Policy, &other.Policy}, {c.Baseline, &other.Baseline}} {
		if f.name == "" {
			continue
		}
		if *f.into, err = os.ReadFile(f.name); err != nil {
			return &usageError{err: fmt.Errorf("read %q: %w", f.name, err)}
		}
	}
	if err := other.Check(knownLeak); err != nil {
		return &usageError{err, "`vpnguard audit list` prints all ids"}
	}
	files, err := bundle.Read(c.Bundle)
	if err != nil {
		return err
	}
	conclusion, otherwise, err := conclude.Replay(files, other)
	if err != nil {
		return fmt.Errorf("replay the bundle %q: %w", c.Bundle, err)
	}
	for _, o := range outputs {
		if err := o.write(w, conclusion.Report); err != nil {
			return err
		}
	}
	if len(otherwise) > 0 {
		for _, s := range otherwise {
			fmt.Fprintf(w.stderr, "vpnguard: %s\n", s)
		}
		return fmt.Errorf("replay the bundle %q: its own report says otherwise", c.Bundle)
	}
	return statusOf(conclusion.Report.Outcome)
}

// altered is evidence that is worth nothing.
func altered(err error) bool { return errors.Is(err, bundle.ErrAltered) }

const alteredHint = "nothing was concluded from it; ask for the bundle as it was written"
