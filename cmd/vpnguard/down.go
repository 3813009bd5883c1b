package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/hook"
)

type downCommand struct {
	Dev  endpoint.IfName `help:"Tunnel device of the session." placeholder:"IF" xor:"which"`
	All  bool            `help:"End every session." xor:"which"`
	Args []string        `arg:"" optional:"" passthrough:"" name:"arg" help:"What a client adds to its hook; read together with its environment."`
}

// Run ends a session if the user stopped it, and notes a restart otherwise.
func (c *downCommand) Run(ctx context.Context, w *world) error {
	if err := noFlag(c.Args); err != nil {
		return err
	}
	conf, err := w.configuration()
	if err != nil {
		return err
	}
	call, err := hook.Parse(hook.CommandDown, w.env, c.Args, parent())
	byHand := errors.Is(err, hook.ErrNotHook)
	if err != nil && !byHand {
		return fmt.Errorf("read what the client told: %w", err)
	}
	if byHand && len(c.Args) > 0 {
		return &usageError{fmt.Errorf("unexpected argument %q: no vpn client is recognised in the environment", c.Args[0]), "by hand, use flags: vpnguard down --dev IF"}
	}
	g, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	if !byHand {
		if c.Dev != "" && call.AnyDevice && call.Dev != c.Dev.String() {
			return nil
		}
		if c.Dev != "" {
			call.Dev = c.Dev.String()
		}
		return w.hookDown(ctx, g, conf, call)
	}
	before := g.Sessions()
	res, err := g.Stop(ctx, guard.Selection{Dev: c.Dev.String(), All: c.All})
	w.report(res, err)
	if err == nil {
		w.endTunnels(ctx, g, before)
		fmt.Fprintf(w.stderr, "vpnguard: %s\n", res.State)
	}
	return err
}

// serverStops are ends of a client that its server can cause, of some the user
// as well.
var serverStops = []string{"server-pushed-halt", "inactive", "ping-exit", "exit-with-notification", "disconnect"}

// hookDown handles a client's `down`. A restart that cannot be noted is no
// failure: the host stays closed, and a client whose hook fails would die
// instead of coming back.
func (w *world) hookDown(ctx context.Context, g *host, conf config.Config, call hook.Call) error {
	sel := guard.Selection{Dev: call.Dev, PID: clientPID(call)}
	call, known := withRecord(g, call)
	if !known {
		return nil
	}
	stop := call.Event == hook.EventStop || conf.OpenOnServerStop && slices.Contains(serverStops, call.Cause)
	switch {
	case call.Event == hook.EventIgnore:
		return nil
	case !stop:
		res, err := g.Restart(ctx, sel)
		if err != nil {
			fmt.Fprintf(w.stderr, "vpnguard: cannot note the restart: %v\n", err)
			res.State = guard.Connecting
		}
		fmt.Fprintf(w.stderr, "vpnguard: %s: the client ends or restarts (%s), which does not open the host; `vpnguard down --dev %s` does\n", res.State, call.Cause, call.Dev)
		return nil
	}
	res, err := g.Stop(ctx, sel)
	w.report(res, err)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w; the host stays closed: the client gave up its privileges before this `down`; as root: vpnguard down --dev %s", err, call.Dev)
	}
	if err == nil {
		fmt.Fprintf(w.stderr, "vpnguard: %s: %s\n", res.State, call.Cause)
	}
	return err
}
