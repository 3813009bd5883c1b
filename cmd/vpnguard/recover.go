package main

import (
	"context"
	"errors"

	"github.com/vpnguard/vpnguard/guard"
)

type recoverCommand struct{}

// Run puts right what a crash left.
func (recoverCommand) Run(ctx context.Context, w *world) error {
	return errors.Join(
		w.recoverNamespaces(ctx),
		w.change(func(g *host) (guard.Result, error) { return g.Recover(ctx) }),
	)
}
