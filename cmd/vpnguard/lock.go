package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
)

type lockCommand struct {
	Endpoint     []endpoint.OrName `help:"VPN server that stays reachable; may be given several times." placeholder:"HOST|ADDR:PORT/PROTO" sep:"none"`
	Owner        []config.Owner    `help:"Who may send to the endpoints; may be given several times." placeholder:"USER|UID" sep:"none"`
	Mark         config.Mark       `help:"Firewall mark of the carrier." placeholder:"N[/MASK]"`
	Cgroup       config.Cgroup     `help:"Cgroup v2 of the carrier's sender." placeholder:"PATH"`
	LAN          bool              `name:"lan" help:"Allow the LAN's never-public ranges; its name services stay closed."`
	AllowIn      []config.Service  `help:"Inbound service that stays reachable; may be given several times." placeholder:"PROTO/PORT" sep:"none"`
	Guests       []endpoint.IfName `help:"Interfaces of containers and VMs: the tunnel yes, the wire no." placeholder:"IF"`
	BootstrapDNS []string          `name:"bootstrap-dns" help:"Resolver that the owner alone may ask." placeholder:"ADDR" sep:"none"`
	Kept         bool              `help:"Lock as it was kept over a boot; without that do nothing. For boot units."`
	Try          time.Duration     `help:"Unlock by itself after this time, unless confirmed." placeholder:"DURATION"`
	DryRun       bool              `help:"Print what would be done and change nothing."`
}

// The bounds of a trial: below, nobody can confirm in time; above, it is none.
const (
	minTry = 5 * time.Second
	maxTry = 24 * time.Hour
)

// Run closes the host. Without any flag it closes as it was kept over a boot.
func (c *lockCommand) Run(ctx context.Context, w *world) error {
	conf, err := w.configuration()
	if err != nil {
		return err
	}
	r, err := c.request(conf)
	if err != nil {
		return err
	}
	g, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	if r.Try != 0 && !c.DryRun {
		// Before the lock: whatever ends this process later leaves somebody to end
		// the trial. Without one there is nothing to end.
		begin, err := detach(r.TryID, r.Try)
		if err != nil {
			return &guard.StateError{Err: fmt.Errorf("start the trial's timer: %w", err), State: "nothing was changed"}
		}
		defer begin()
	}
	res, err := g.Lock(ctx, r, c.DryRun)
	if err != nil {
		return err
	}
	if c.DryRun {
		w.dryRun(res)
		return nil
	}
	w.report(res, nil)
	fmt.Fprintf(w.stderr, "vpnguard: %s\n", res.State)
	if r.Try != 0 {
		fmt.Fprintf(w.stderr, "vpnguard: unlocks by itself in %s; `vpnguard confirm` keeps it\n", r.Try)
	}
	return nil
}

func (c *lockCommand) request(conf config.Config) (guard.LockRequest, error) {
	r := guard.LockRequest{Names: c.Endpoint, ResolveTimeout: conf.ResolveTimeout, Try: c.Try, Settings: settings(conf)}
	if len(r.Names) == 0 {
		r.Names = conf.Endpoints
	}
	if c.Try != 0 {
		if c.Try < minTry || c.Try > maxTry {
			return r, &usageError{fmt.Errorf("trial of %s: it lasts %s to %s", c.Try, minTry, maxTry), ""}
		}
		r.TryID = rand.Text()
	}
	r.Bootstrap = conf.BootstrapDNS
	if len(c.BootstrapDNS) > 0 {
		r.Bootstrap = nil
		for _, s := range c.BootstrapDNS {
			a, err := endpoint.ParseAddr(s)
			if err != nil {
				return r, &usageError{fmt.Errorf("bootstrap resolver %q: %w", s, err), ""}
			}
			r.Bootstrap = append(r.Bootstrap, a)
		}
	}
	flags := settings(config.Config{LAN: c.LAN, AllowIn: c.AllowIn, Guests: c.Guests})
	r.Settings.LAN = r.Settings.LAN || flags.LAN
	r.Settings.AllowIn = append(r.Settings.AllowIn, flags.AllowIn...)
	r.Settings.Guests = append(r.Settings.Guests, flags.Guests...)
	r.Kept = len(c.Endpoint) == 0 && len(c.Owner) == 0 && c.Mark.Mask == 0 && c.Cgroup == "" && !c.LAN &&
		len(c.AllowIn) == 0 && len(c.Guests) == 0 && len(c.BootstrapDNS) == 0 && c.Try == 0
	if c.Kept && !r.Kept {
		return r, &usageError{errors.New("--kept goes with no other option: what was kept has them all"), ""}
	}
	r.OnlyKept = c.Kept
	var err error
	r.Mark, r.Mask, r.Cgroup, r.UIDs, err = ownerOf(c.Owner, c.Mark, c.Cgroup, conf)
	return r, err
}

// expireCommand is the trial's timer.
type expireCommand struct {
	Try   string        `required:""`
	After time.Duration `required:""`
}

// expireTries bounds how often a timer that cannot unlock tries again.
const expireTries = 60

// Run waits, and unlocks unless the trial was confirmed meanwhile. A signal that
// is meant for the session that locked does not keep it from that.
func (c *expireCommand) Run(ctx context.Context, w *world) error {
	ctx = context.WithoutCancel(ctx)
	if err := detached(); err != nil {
		return err
	}
	// The wall clock may be set while the trial runs; the monotonic one counts.
	wait := time.NewTimer(c.After)
	var err error
	for range expireTries {
		<-wait.C
		if err = c.unlock(ctx, w); err == nil {
			return nil
		}
		wait.Reset(time.Second)
	}
	return err
}

func (c *expireCommand) unlock(ctx context.Context, w *world) error {
	g, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	_, err = g.Expire(ctx, c.Try)
	return err
}

type confirmCommand struct{}

// Run keeps what a trial set.
func (confirmCommand) Run(ctx context.Context, w *world) error {
	return w.change(func(g *host) (guard.Result, error) { return g.Confirm(ctx) })
}

type unlockCommand struct{}

// Run takes the lock off.
func (unlockCommand) Run(ctx context.Context, w *world) error {
	return w.change(func(g *host) (guard.Result, error) { return g.Unlock(ctx) })
}
