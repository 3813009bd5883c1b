package main

import (
	"fmt"
	"os"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/conclude"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/gate"
)

// auditHostOutput is what is demanded of an audit of the host, and how it is told.
type auditHostOutput struct {
	Policy string `help:"What is demanded and accepted." placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// demands reads the user's files before anything is sent.
func (o auditHostOutput) demands() (conclude.Demands, error) {
	var d conclude.Demands
	if o.Policy == "" {
		return d, nil
	}
	data, err := os.ReadFile(o.Policy)
	if err != nil {
		return d, &usageError{fmt.Errorf("read the policy: %w", err), ""}
	}
	d.Policy = data
	known := func(id string) bool { _, err := catalogue.Find(id); return err == nil }
	if err := d.Check(known); err != nil {
		return d, &usageError{err, "`vpnguard audit list` prints the ids"}
	}
	return d, nil
}

// tell prints what the evidence comes to; the error is the exit status.
func (o auditHostOutput) tell(w *world, a evidence.Audit, d conclude.Demands) error {
	c, err := conclude.Audit(a, d)
	if err != nil {
		return err
	}
	if o.JSON {
		err = c.Report.JSON(w.stdout)
	} else {
		err = c.Report.Text(w.stdout, false)
	}
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	switch c.Report.Outcome.Status {
	case gate.Clean:
		return nil
	case gate.Found:
		return exitStatus(exitDrift)
	case gate.Inconclusive:
		return exitStatus(exitInconclusive)
	}
	return exitStatus(exitInconclusive)
}
