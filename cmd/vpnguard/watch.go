package main

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/vpnguard/vpnguard/guardian"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/owner"
)

type watchCommand struct {
	Metrics string `help:"Serve OpenMetrics at this address or unix socket." placeholder:"ADDR:PORT|unix:PATH"`
	Share   bool   `help:"Leave the tables open to others' changes, as on kernels before 6.9, and heal those."`
}

// guardianMemory is what the collector aims at, in bytes. The rules of 10,000
// endpoints need more for a moment, and get it.
const guardianMemory = 12 << 20

// Run guards until a signal ends it, which opens nothing.
func (c *watchCommand) Run(ctx context.Context, w *world) error {
	debug.SetMemoryLimit(guardianMemory)
	h, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	log := newLog(w.stderr, w.journal)
	g := &guardian.Guardian{Guard: h.Guard, Dir: w.guardianDir(), Procs: processes{}, Classify: classify, Metrics: c.Metrics, Log: log}
	if !c.Share {
		err := h.filter.Own()
		var unsupported *nft.UnsupportedError
		switch {
		case errors.As(err, &unsupported):
			log.Warn("others can change the tables; they are watched and healed", "reason", err)
		case err != nil:
			return err
		}
		g.Owns = err == nil
	}
	return g.Run(ctx)
}

// processes looks processes up by /proc.
type processes struct{}

func (processes) Parent(pid int) (start uint64, parent int, err error) {
	p, err := owner.Find(pid, "")
	return p.StartTime, p.Parent, err
}
