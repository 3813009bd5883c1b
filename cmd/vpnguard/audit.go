package main

import (
	"context"
	"os"

	"github.com/vpnguard/vpnguard/audit/scenario"
	"github.com/vpnguard/vpnguard/lab"
)

type auditCommand struct {
	Lab     auditLabCommand     `cmd:"" help:"Attack a VPN client in a laboratory of network namespaces, with its guard and without."`
	Host    auditHostCommand    `cmd:"" help:"Audit this machine as it is: review, harmless probes, and what leaves meanwhile."`
	Witness auditWitnessCommand `cmd:"" help:"See for another machine what leaves it, as the peer of its audit."`
	Replay  auditReplayCommand  `cmd:"" help:"Compute an audit's verdicts again from its evidence alone."`
	List    auditListCommand    `cmd:"" help:"List every leak that is known."`
	Explain auditExplainCommand `cmd:"" help:"Explain a leak."`
	Inside  auditInsideCommand  `cmd:"" hidden:""`
	Shoot   auditShootCommand   `cmd:"" hidden:""`
	Twin    auditTwinCommand    `cmd:"" hidden:""`
}

// auditInsideCommand is the laboratory's side of an audit, see [scenario.Run].
type auditInsideCommand struct{}

// Run reads an order and writes reports, in namespaces of its own.
func (auditInsideCommand) Run(ctx context.Context) error {
	code := lab.Run(func() int { return scenario.Serve(ctx, os.Stdin, os.Stdout, os.Stderr) })
	if code != 0 {
		return exitStatus(code)
	}
	return nil
}
