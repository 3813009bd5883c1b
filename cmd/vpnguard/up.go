package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/hook"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/wireguard"
)

type upCommand struct {
	Dev      endpoint.IfName   `help:"Tunnel device." placeholder:"IF"`
	Endpoint []endpoint.OrName `help:"VPN server; may be given several times." placeholder:"ADDR:PORT/PROTO" sep:"none"`
	Owner    []config.Owner    `help:"Who may send to the endpoints; may be given several times." placeholder:"USER|UID" sep:"none"`
	Mark     config.Mark       `help:"Firewall mark of the carrier." placeholder:"N[/MASK]"`
	Cgroup   config.Cgroup     `help:"Cgroup v2 of the carrier's sender." placeholder:"PATH"`
	DNS      []netip.Addr      `name:"dns" help:"Resolver inside the tunnel; may be given several times." placeholder:"ADDR" sep:"none"`
	Domain   []string          `help:"Domain that the resolvers know; may be given several times." placeholder:"NAME" sep:"none"`
	Profile  []config.Profile  `help:"full: all traffic belongs in the tunnel; split: only some; auto: full until the client proves split." placeholder:"auto|full|split" sep:"none"`
	Steer    *config.Steer     `help:"auto: routing leads into the tunnel what is not a carrier's; off: routes stay as the client made them." placeholder:"auto|off"`
	Client   string            `help:"Name of the client, for the record." placeholder:"NAME"`
	DryRun   bool              `help:"Print what would be done and change nothing."`
	Args     []string          `arg:"" optional:"" passthrough:"" name:"arg" help:"What a client adds to its hook; read together with its environment."`
}

// Run seals the session that the environment, the arguments or the flags tell of.
func (c *upCommand) Run(ctx context.Context, w *world) error {
	if err := noFlag(c.Args); err != nil {
		return err
	}
	conf, err := w.configuration()
	if err != nil {
		return err
	}
	call, err := hook.Parse(hook.CommandUp, w.env, c.Args, parent())
	byHand := errors.Is(err, hook.ErrNotHook)
	if err != nil && !byHand {
		return fmt.Errorf("read what the client told: %w", err)
	}
	if byHand && len(c.Args) > 0 {
		return &usageError{fmt.Errorf("unexpected argument %q: no vpn client is recognised in the environment", c.Args[0]), "by hand, use flags: vpnguard up --dev IF --endpoint ADDR:PORT/PROTO"}
	}
	g, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	stayLean(len(c.Endpoint) + len(call.Remotes))
	if !byHand {
		if !c.concerns(g, call) {
			return nil
		}
		if call.Dev == "" {
			call.Dev = c.Dev.String()
		}
		call = withSockets(call)
		switch call.Event {
		case hook.EventIgnore:
			return nil
		case hook.EventStop, hook.EventRestart:
			return w.hookDown(ctx, g, conf, call)
		case hook.EventEndpoint:
			res, err := g.Update(ctx, clientPID(call), call.Carriers())
			w.report(res, err)
			return err
		case hook.EventUp, hook.EventRoutes:
		}
	}
	r, err := c.request(conf, call, byHand)
	if err != nil {
		return err
	}
	res, err := g.Up(ctx, r, c.DryRun)
	if err != nil {
		return err
	}
	if c.DryRun {
		w.dryRun(res)
		return nil
	}
	w.report(res, nil)
	fmt.Fprintf(w.stderr, "vpnguard: %s: session %s (%s, profile %s), %d endpoints, owner %s\n",
		res.State, res.Session.ID, res.Session.Client, res.Session.Profile, len(res.Session.Endpoints), ownerText(res.Session.Owner))
	return nil
}

// noFlag refuses a flag that is not known: what clients add to their hooks
// never begins with a hyphen, so it is the user's own and misspelt.
func noFlag(args []string) error {
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		return &usageError{fmt.Errorf("unknown flag %s", strconv.QuoteToASCII(args[0])), "see `vpnguard --help`"}
	}
	return nil
}

// request joins flags, environment and configuration, in this order of strength.
func (c *upCommand) request(conf config.Config, call hook.Call, byHand bool) (guard.Request, error) {
	r := guard.Request{
		Client: call.Client, Dev: call.Dev, Split: call.Splits(), InKernel: call.InKernel,
		Addresses: call.Addresses, Domains: call.SearchDomains, Routes: call.Routes,
		Settings: settings(conf), Bootstrap: conf.BootstrapDNS, ResolveTimeout: conf.ResolveTimeout,
	}
	if c.Steer != nil {
		conf.Steer = *c.Steer
		r.Settings = settings(conf)
	}
	if !byHand {
		r.PID = clientPID(call)
	}
	if c.Client != "" {
		r.Client = c.Client
	}
	if r.Client == "" {
		r.Client = "manual"
	}
	if strings.ContainsFunc(r.Client, func(x rune) bool { return x < '!' || x > '~' }) {
		return r, &usageError{fmt.Errorf("client %q: a name has no spaces and no control characters", r.Client), ""}
	}
	if c.Dev != "" {
		r.Dev = c.Dev.String()
	}
	if err := c.profile(&r, conf); err != nil {
		return r, err
	}
	r.DNS = firstNonEmpty(c.DNS, call.Resolvers, conf.DNS)
	for _, a := range r.DNS {
		if err := endpoint.CheckAddr(a); err != nil {
			return r, &usageError{fmt.Errorf("resolver %q: %w", a, err), ""}
		}
	}
	if err := names(&r, call, conf, firstNonEmpty(c.Domain, nil, conf.Domains), len(c.DNS) == 0); err != nil {
		return r, err
	}
	r.Naming = ourNaming(r.Naming, call.Client, dns.System{}.Detect)
	if len(c.Endpoint) > 0 {
		r.Names = c.Endpoint
	} else {
		r.Endpoints = call.Carriers()
		for _, n := range call.Names() {
			r.Names = append(r.Names, endpoint.OrName{Host: n.Host, Port: n.Port, Proto: n.Proto})
		}
		r.Names = append(r.Names, conf.Endpoints...)
	}
	r.Names, r.Endpoints = literals(r.Names, r.Endpoints)
	var err error
	if r.Mark, r.Mask, r.Cgroup, r.UIDs, err = ownerOf(c.Owner, c.Mark, c.Cgroup, conf); err != nil {
		return r, err
	}
	if err := ofDevice(&r, len(c.Endpoint) > 0, wireguard.Read); err != nil {
		return r, err
	}
	return r, missing(r, call, byHand)
}

func (c *upCommand) profile(r *guard.Request, conf config.Config) error {
	asked := conf.Profile
	for i, p := range c.Profile {
		if i > 0 && p != asked {
			return &usageError{fmt.Errorf("profiles %s and %s conflict", asked, p), "give one --profile"}
		}
		asked = p
	}
	switch asked {
	case config.ProfileFull:
		r.Explicit, r.Profile = true, rules.Full
	case config.ProfileSplit:
		r.Explicit, r.Profile = true, rules.Split
	case config.ProfileAuto:
	}
	return nil
}

// ownerOf is who may send: by flags if any part is given there, else by configuration.
func ownerOf(owners []config.Owner, mark config.Mark, cgroup config.Cgroup, conf config.Config) (value, mask uint32, path string, ids []uint32, err error) {
	if len(owners) == 0 && mark.Mask == 0 && cgroup == "" {
		owners, mark, cgroup = conf.Owners, conf.Mark, conf.Cgroup
	}
	ids, err = uids(owners)
	return mark.Value, mark.Mask, cgroup.String(), ids, err
}

// literals moves endpoints that need no resolving to those that are known.
func literals(names []endpoint.OrName, ends []endpoint.Endpoint) ([]endpoint.OrName, []endpoint.Endpoint) {
	var rest []endpoint.OrName
	for _, n := range names {
		if e, ok := n.Endpoint(); ok {
			ends = append(ends, e)
		} else {
			rest = append(rest, n)
		}
	}
	return rest, ends
}

func firstNonEmpty[T any](lists ...[]T) []T {
	for _, l := range lists {
		if len(l) > 0 {
			return l
		}
	}
	return nil
}
