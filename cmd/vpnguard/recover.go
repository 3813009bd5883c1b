package main

import (
	"context"
	"fmt"
)

type recoverCommand struct{}

// Run puts right what a crash left.
func (recoverCommand) Run(ctx context.Context, w *world) error {
	g, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	res, err := g.Recover(ctx)
	w.report(res, err)
	if err == nil {
		fmt.Fprintf(w.stderr, "vpnguard: %s\n", res.State)
	}
	return err
}
