package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/guardian"
	"github.com/vpnguard/vpnguard/netns"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/state"
)

type netnsUpCommand struct {
	Name       netns.Name       `arg:"" help:"Name of the namespace." placeholder:"NAME"`
	Tunnel     string           `help:"The own tunnel: file in the format of wg-quick, or NAME for /etc/vpnguard/NAME.conf." placeholder:"CONF"`
	OpenVPN    string           `name:"openvpn" help:"OpenVPN: its configuration file; more of its options follow behind --." placeholder:"CONF"`
	Dev        endpoint.IfName  `help:"Device of a tunnel that is up, of any client." placeholder:"IF"`
	DNS        []netip.Addr     `name:"dns" help:"Resolver inside, with --dev; may be given several times." placeholder:"ADDR" sep:"none"`
	Options    []string         `arg:"" optional:"" help:"Options of OpenVPN, behind --." placeholder:"OPTION"`
	Dir        string           `hidden:""` // of the caller
	Owner      config.Owner     `help:"User of the own tunnel's engine; default: vpnguard, or uid 65522 if there is none." placeholder:"USER|UID"`
	AllowIn    []config.Service `help:"Service inside that the tunnel's other peers may reach; may be given several times." placeholder:"PROTO/PORT" sep:"none"`
	Forward    []config.Service `help:"Port of a program inside to reach on the host's loopback; may be given several times." placeholder:"tcp/PORT" sep:"none"`
	Wait       time.Duration    `help:"How long to wait for the tunnel." default:"30s" placeholder:"DURATION"`
	Foreground bool             `help:"Stay in the foreground, as a service does."`
	Ready      bool             `hidden:""` // tell by a descriptor, see background
}

// source is what brings the tunnel's device into the namespace.
type source interface {
	// begin returns when the tunnel works. Errors leave no process.
	begin(ctx context.Context, k *nsKeeper) error
	// stay keeps it until ctx ends, which is no error, or it ends by itself.
	stay(ctx context.Context, k *nsKeeper) error
	// end takes the device out of the namespace and ends all processes.
	end(k *nsKeeper)
}

// Run makes a namespace. All of it is done by the process that keeps it, which is
// this one in the foreground, and another one otherwise.
func (c *netnsUpCommand) Run(ctx context.Context, w *world) error {
	if err := c.checkForward(); err != nil {
		return err
	}
	src, rec, err := c.source(w)
	if err != nil {
		return err
	}
	if c.Foreground {
		return c.keep(ctx, w, src, rec)
	}
	args := []string{"netns", "up", "--foreground", "--ready", "--wait", c.Wait.String()}
	if path, may := strings.CutSuffix(w.configFile, optional); !may {
		abs, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		args = append([]string{"--config", abs}, args...)
	}
	for _, s := range c.AllowIn {
		args = append(args, "--allow-in", s.String())
	}
	for _, s := range c.Forward {
		args = append(args, "--forward", s.String())
	}
	for _, a := range c.DNS {
		args = append(args, "--dns", a.String())
	}
	if c.Owner.String() != "" {
		args = append(args, "--owner", c.Owner.String())
	}
	if args, err = c.callersDir(args); err != nil {
		return err
	}
	args = append(args, "--"+rec.Kind, rec.Source, "--", c.Name.String())
	args = append(args, c.Options...)
	code, err := background(ctx, args)
	if err != nil {
		return fmt.Errorf("start the namespace's process: %w", err)
	}
	if code != 0 {
		return exitStatus(code)
	}
	return nil
}

// callersDir tells the other process where names of files begin that the caller
// gave.
func (c *netnsUpCommand) callersDir(args []string) ([]string, error) {
	dir, err := os.Getwd()
	return append(args, "--dir", dir), err
}

// source is what the flags ask for, before anything is changed.
func (c *netnsUpCommand) source(w *world) (source, netns.Record, error) {
	given := 0
	for _, v := range []string{c.Tunnel, c.OpenVPN, c.Dev.String()} {
		given += min(len(v), 1)
	}
	switch {
	case given != 1:
		return nil, netns.Record{}, &usageError{fmt.Errorf("a namespace has one tunnel, and %d were given", given), "nothing was changed; give one of --tunnel CONF, --openvpn CONF and --dev IF"}
	case len(c.DNS) > 0 && c.Dev == "":
		return nil, netns.Record{}, &usageError{errors.New("--dns without --dev"), "nothing was changed; a tunnel's file and OpenVPN's server tell the resolvers"}
	case c.OpenVPN != "":
		return c.openvpnSource()
	case len(c.Options) > 0:
		return nil, netns.Record{}, &usageError{fmt.Errorf("unexpected argument %q", c.Options[0]), "nothing was changed; options behind -- are OpenVPN's"}
	}
	if c.Dev != "" {
		return c.deviceSource(w)
	}
	return c.tunnelSource(w)
}

// nsKeeper keeps one namespace.
type nsKeeper struct {
	*netnsUpCommand
	w       *world
	page    netns.Page
	rec     netns.Record
	space   *netns.Space
	log     *slog.Logger
	adopted bool // an earlier one, whose keeper was killed

	listeners []net.Listener // of forwarded ports
}

// keep makes the namespace and keeps it until a signal ends it. Nothing ever
// leaves it but by the tunnel: it is made without any link, and closed before
// one comes.
func (c *netnsUpCommand) keep(ctx context.Context, w *world, src source, rec netns.Record) error {
	if c.Ready {
		unix.CloseOnExec(fdReady)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return &guard.StateError{Err: fmt.Errorf("hide keys from other processes: %w", err), State: "nothing was changed"}
	}
	k := &nsKeeper{netnsUpCommand: c, w: w, page: w.namespaces().Page(c.Name), rec: rec, log: newLog(w.stderr, w.journal)}
	if err := k.page.With(ctx, k.make); err != nil {
		var wrong *usageError
		if errors.As(err, &wrong) {
			return err
		}
		return &guard.StateError{Err: fmt.Errorf("make namespace %q: %w", c.Name, err), State: "nothing is left of it"}
	}
	defer k.space.Close()
	err := k.forward()
	defer k.unforward()
	if err == nil {
		err = src.begin(ctx, k)
	}
	if err == nil {
		err = k.ready()
	}
	if err != nil {
		src.end(k)
		return k.failed(fmt.Errorf("bring namespace %q up: %w", c.Name, err))
	}
	err = src.stay(ctx, k)
	src.end(k)
	if err != nil {
		return &guard.StateError{Err: fmt.Errorf("namespace %q: %w", c.Name, err), State: "it has no tunnel, and what runs in it no connectivity: `vpnguard netns up` gives it another one, `vpnguard netns down` ends it"}
	}
	guardian.Notify("STOPPING=1")
	return k.cleared()
}

// make records the namespace and makes it, or takes over one that was left.
func (k *nsKeeper) make() (err error) {
	old, err := k.page.Load()
	switch {
	case err == nil && old.Alive():
		return &usageError{fmt.Errorf("namespace %q is up already (pid %d)", k.Name, old.PID), fmt.Sprintf("nothing was changed; `vpnguard netns down %s` ends it", k.Name)}
	case err == nil:
		k.rec.MadeDir = old.MadeDir
	case errors.Is(err, state.ErrNone):
		k.rec.MadeDir = !netns.DirThere()
	default:
		return err
	}
	if k.rec.PID, k.rec.Start, err = thisProcess(); err != nil {
		return err
	}
	if old.PID != 0 {
		if err := endClient(old); err != nil {
			return err
		}
		if old.Moved != nil {
			return &usageError{fmt.Errorf("namespace %q still has device %q of an earlier run", k.Name, old.Moved.Name), fmt.Sprintf("nothing was changed; `vpnguard netns down %s` gives it back", k.Name)}
		}
		if k.space, err = netns.Open(k.Name); err == nil && k.space.Inode == old.Inode {
			k.adopted, k.rec.Inode = true, old.Inode
			if err = k.page.Save(k.rec); err == nil {
				err = k.space.Prepare()
			}
			return err
		}
		// It was killed before the namespace was pinned and recorded.
		if err := netns.Unpin(k.Name); err != nil {
			return err
		}
	} else if _, err := os.Lstat(filepath.Join(netns.PinDir, k.Name.String())); err == nil {
		return &usageError{fmt.Errorf("namespace %q: %w", k.Name, netns.ErrTaken), fmt.Sprintf("nothing was changed; take another name, or end it with `ip netns delete %s`", k.Name)}
	}
	// First the record: whatever is left by a kill from here on, recover finds.
	if err := k.page.Save(k.rec); err != nil {
		return err
	}
	if k.space, err = netns.Create(k.Name); err == nil {
		k.rec.Inode = k.space.Inode
		err = errors.Join(k.page.Save(k.rec), k.space.Prepare())
	}
	if err != nil {
		return errors.Join(err, k.page.Clear(k.rec))
	}
	return nil
}

// update changes the record, which lists show.
func (k *nsKeeper) update(change func(*netns.Record)) error {
	before := k.rec
	change(&k.rec)
	err := k.page.With(context.Background(), func() error { return k.page.Save(k.rec) })
	if err != nil {
		k.rec = before
	}
	return err
}

// open lets a device of the namespace send.
func (k *nsKeeper) open(device string) error {
	var services []rules.Service
	for _, s := range k.AllowIn {
		services = append(services, rules.Service{Proto: s.Proto, First: s.First, Last: s.Last})
	}
	return k.space.Allow(device, services)
}

// ready says that the tunnel works and lets go of whoever waits for that.
func (k *nsKeeper) ready() error {
	if err := k.update(func(r *netns.Record) { r.Up = true }); err != nil {
		return err
	}
	if len(k.rec.Resolvers) == 0 {
		k.w.warn([]string{"the tunnel tells no resolver: names do not resolve inside"})
	}
	fmt.Fprintf(k.w.stderr, "vpnguard: namespace %s is up: %s %s, %v, resolvers %v; `vpnguard exec --namespace %s -- COMMAND` runs a program in it\n",
		k.Name, k.rec.Kind, k.rec.Device, k.rec.Addresses, k.rec.Resolvers, k.Name)
	guardian.Notify("READY=1")
	if !k.Ready {
		return nil
	}
	return leave(filepath.Join(k.w.stateDir, "netns"), k.Name.String()+".log")
}

// failed takes back what was made. A namespace that was there before stays, for
// there may be programs in it.
func (k *nsKeeper) failed(cause error) error {
	if k.adopted {
		return &guard.StateError{Err: cause, State: "the namespace is as it was left: without a tunnel, and what runs in it without connectivity"}
	}
	if err := k.cleared(); err != nil {
		return errors.Join(cause, err)
	}
	return &guard.StateError{Err: cause, State: "nothing is left of it"}
}

func (k *nsKeeper) cleared() error {
	return k.page.With(context.Background(), func() error { return k.page.Clear(k.rec) })
}
