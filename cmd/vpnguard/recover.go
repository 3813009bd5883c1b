package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/vpnguard/vpnguard/guard"
)

type recoverCommand struct{}

// Run puts right what a crash left: the host, and then devices of the kernel that
// nobody keeps any more.
func (recoverCommand) Run(ctx context.Context, w *world) error {
	return errors.Join(w.recoverNamespaces(ctx), w.change(func(g *host) (guard.Result, error) {
		res, err := g.Recover(ctx)
		removed, failed := clearDead("")
		for _, dev := range removed {
			res.Done = append(res.Done, fmt.Sprintf("device %q, which nobody keeps, removed", dev))
		}
		return res, errors.Join(err, failed)
	}))
}
