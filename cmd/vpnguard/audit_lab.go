package main

import (
	"context"
	"fmt"
	"time"

	"github.com/vpnguard/vpnguard/audit/catalogue"
	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/audit/policy"
	"github.com/vpnguard/vpnguard/audit/scenario"
	"github.com/vpnguard/vpnguard/audit/verdict"
)

type auditLabCommand struct {
	Client string   `help:"own: the own tunnel." default:"own" placeholder:"CLIENT"`
	Guard  string   `help:"vpnguard; none; or a command that is called with OpenVPN's variables." default:"vpnguard" placeholder:"vpnguard|none|COMMAND"`
	Only   []string `help:"Leaks to test, by id." placeholder:"ID,..."`
	Repeat int      `help:"How often." default:"1" placeholder:"N"`
	Seed   uint64   `help:"Order of the tests." placeholder:"N"`
	Fault  string   `hidden:""`
}

// Run attacks.
func (c *auditLabCommand) Run(ctx context.Context, w *world) error {
	a := evidence.Audit{Schema: evidence.Schema, Started: time.Now(), Catalogue: catalogue.Classes()}
	a.Scope = evidence.Scope{Mode: "lab", Guard: evidence.Named{Name: c.Guard}, Catalogue: catalogue.Version, Seed: c.Seed, Repeat: c.Repeat}
	o := scenario.Order{Client: c.Client, Guard: c.Guard, Only: c.Only, Repeat: c.Repeat, Seed: c.Seed, Fault: c.Fault}
	err := scenario.Run(ctx, []string{"audit", "inside"}, o, w.stderr, func(r scenario.Report) {
		switch {
		case r.Case != nil:
			a.Cases = append(a.Cases, *r.Case)
		case r.End != nil:
			a.Environment, a.Topology, a.Scope.Client, a.Interrupted = r.End.Environment, r.End.Topology, r.End.Client, r.End.Interrupted
		}
	})
	if err != nil {
		return err
	}
	a.Finished = time.Now()
	for _, r := range verdict.Judge(a, policy.Policy{}) {
		if r.Case == nil {
			continue
		}
		fmt.Fprintf(w.stdout, "%-14s %s (fired %v)\n", r.Verdict, r.Name(), r.Fired)
		for _, why := range r.Reasons {
			fmt.Fprintf(w.stdout, "      %s\n", why)
		}
	}
	fmt.Fprintf(w.stderr, "%v\n", time.Since(a.Started))
	return nil
}
