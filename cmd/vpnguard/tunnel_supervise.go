package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/guardian"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/keeper"
	"github.com/vpnguard/vpnguard/tunnel/noise"
	"github.com/vpnguard/vpnguard/tunnel/tun"
	"github.com/vpnguard/vpnguard/tunnel/udp"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

// supervisor keeps one tunnel: it holds the TUN device open, so that device,
// addresses and routes outlive the engine's process, and does what needs root.
type supervisor struct {
	*tunnelUpCommand
	w      *world
	plan   tunnelPlan
	host   *host
	device *tun.Device
	keeper *keeper.Keeper
	uapi   *net.UnixListener // nil: it could not be opened
	log    *slog.Logger

	events chan keeper.Event
	ended  chan error // what became of the keeper
	known  bool       // the session was recorded before: the host was closed
	since  time.Time
	mtu    int // of the device
}

// supervise brings the tunnel up and keeps it until a signal ends it. The order
// is the point: what could fail comes before closing, nothing is sent before the
// host is closed, and nothing is said to be sealed before a peer has answered.
func (c *tunnelUpCommand) supervise(ctx context.Context, w *world, plan tunnelPlan) (err error) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide the private key from other processes: %w; nothing was changed", err)
	}
	s := &supervisor{tunnelUpCommand: c, w: w, plan: plan, since: time.Now(), mtu: plan.setup.MTU, events: make(chan keeper.Event, 64), ended: make(chan error, 1)}
	s.log = newLog(w.stderr, w.journal)
	if c.Ready {
		unix.CloseOnExec(fdReady) // commands of the file outlive us
	}
	h, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	s.host = h
	earlier, known := h.Session(plan.setup.Name)
	s.known = known
	ends, err := s.plan.resolve(ctx, earlier.Endpoints)
	if err != nil {
		return err
	}
	// Down and without an address: nothing goes in or out by it yet.
	if s.device, err = tun.Open(endpoint.IfName(plan.setup.Name), tun.All); err != nil {
		if errors.Is(err, os.ErrExist) {
			return &usageError{err, fmt.Sprintf("nothing was changed; a tunnel of that name is up already: `vpnguard tunnel down %s` ends it", plan.setup.Name)}
		}
		return &guard.StateError{Err: err, State: "nothing was changed"}
	}
	defer s.device.Close()
	s.plan.setup.TUN = s.device.Has()
	if s.uapi, err = listenUAPI(plan.setup.Name); err != nil {
		s.w.warn([]string{fmt.Sprintf("`wg show` will not find the tunnel: %v", err)})
	} else {
		defer s.uapi.Close()
	}
	run, stop := context.WithCancel(context.Background())
	s.keep(run)
	defer func() {
		stop()
		<-s.ended
	}()
	if serves(s.plan.conf) {
		if err := s.bound(ctx); err != nil {
			return &guard.StateError{Err: fmt.Errorf("bring tunnel %q up: %w", plan.setup.Name, err), State: "nothing was changed"}
		}
	}
	if err := s.up(ctx, ends); err != nil {
		return err
	}
	return s.stay(ctx)
}

// keep starts the engine, which waits for its order to begin.
func (s *supervisor) keep(ctx context.Context) {
	log := &lines{say: func(line string) { s.log.Warn("the engine says", "line", line) }}
	s.keeper = keeper.New(s.plan.setup, func() (keeper.Child, error) {
		return startEngine(s.plan.uid, s.plan.gid, s.device.FD(), s.uapi, log)
	}, func(e keeper.Event) {
		select {
		case s.events <- e:
		case <-ctx.Done():
		}
	})
	go func() { s.ended <- s.keeper.Run(ctx) }()
}

// up closes the host, lets the engine begin and waits for the first handshake.
func (s *supervisor) up(ctx context.Context, ends []endpoint.Endpoint) error {
	r, err := s.plan.request(ends)
	if err != nil {
		return err
	}
	// Not to be interrupted: whether the host was closed would not be known. What
	// waits below looks at ctx.
	res, err := s.host.Up(context.WithoutCancel(ctx), r, false)
	if err != nil {
		if _, recorded := s.host.Session(s.plan.setup.Name); recorded && !s.known {
			return s.failed(ctx, err)
		}
		return err
	}
	if err = s.hooks(ctx, wgconf.PreUp); err == nil {
		s.keeper.Begin()
		err = s.configure()
	}
	if err == nil {
		// While the handshake is under way: the device is up now.
		_, err = s.host.Resteer(ctx, s.plan.setup.Name)
	}
	if err == nil && len(ends) > 0 { // a server waits for whoever comes
		err = s.handshake(ctx)
	}
	if err == nil {
		res, err = s.host.Connected(ctx, s.plan.setup.Name, true)
	}
	if err == nil {
		err = s.hooks(ctx, wgconf.PostUp)
	}
	if err != nil {
		return s.failed(ctx, err)
	}
	if err := s.report(res, ends); err != nil {
		return s.failed(ctx, err)
	}
	return nil
}

// bound waits until the engine has its socket: the port may be somebody else's.
func (s *supervisor) bound(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the engine: %w", ctx.Err())
		case err := <-s.ended:
			s.ended <- nil
			return err
		case e := <-s.events:
			s.note(e)
			if e.Ready != nil {
				return nil
			}
		}
	}
}

// configure gives the device what it needs; again after it was down, for then
// the kernel has taken it away.
func (s *supervisor) configure() error {
	name, mtu := s.plan.setup.Name, s.mtu
	if mtu == 0 {
		mtu = engine.DefaultMTU
	}
	gso := tun.GSOSize(mtu, noise.TransportSize, udp.MaxBytes, udp.MaxSegments)
	if err := tun.Configure(name, mtu, gso, s.plan.conf.Interface.Addresses); err != nil {
		return err
	}
	if s.plan.settings.Steer == config.SteerAuto {
		return nil // the guard leads there what belongs there
	}
	return tun.Route(name, s.plan.allowed())
}

// handshake waits for any peer's.
func (s *supervisor) handshake(ctx context.Context) error {
	return handshake(ctx, s.Wait, s.ended, s.events, s.note)
}

// handshake waits for any peer's; note is told of all else that happens, and ended
// still has what became of the engine's keeper afterwards.
func handshake(ctx context.Context, wait time.Duration, ended chan error, events <-chan keeper.Event, note func(keeper.Event)) error {
	late := time.NewTimer(wait)
	defer late.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the first handshake: %w", ctx.Err())
		case <-late.C:
			return fmt.Errorf("no peer answered within %v", wait)
		case err := <-ended:
			ended <- nil
			return err
		case e := <-events:
			if e.Completed != nil {
				return nil
			}
			note(e)
		}
	}
}

// failed gives the host back if the user wants that or stopped the try; otherwise
// it stays closed. A host that this tunnel's earlier run left closed stays closed
// in any case but the user's own stop.
func (s *supervisor) failed(ctx context.Context, cause error) error {
	name := s.plan.setup.Name
	if ctx.Err() == nil && (s.OnFailure != "restore" || s.known) {
		return &guard.StateError{Err: fmt.Errorf("bring tunnel %q up: %w", name, cause),
			State: fmt.Sprintf("the tunnel is down and the host is closed: `vpnguard tunnel down %s` opens it, `vpnguard tunnel up` tries again", name)}
	}
	res, err := s.host.Stop(context.WithoutCancel(ctx), guard.Selection{Dev: name})
	s.w.warn(res.Warnings)
	if err != nil {
		return fmt.Errorf("bring tunnel %q up: %w; then %w", name, cause, err)
	}
	return &guard.StateError{Err: fmt.Errorf("bring tunnel %q up: %w", name, cause), State: fmt.Sprintf("the host is as it was before: %s", res.State)}
}

// stay keeps the tunnel until a signal ends it, which is the user's own stop.
func (s *supervisor) stay(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	monitor, err := link.OpenMonitor()
	if err != nil {
		return s.failed(ctx, err)
	}
	defer monitor.Close()
	go s.watch(monitor, changed)
	for {
		select {
		case <-ctx.Done():
			return s.stop()
		case err := <-s.ended:
			s.ended <- nil
			return &guard.StateError{Err: fmt.Errorf("tunnel %q ended: %w", s.plan.setup.Name, err), State: "the host is closed"}
		case e := <-s.events:
			if err := s.follow(ctx, e); err != nil {
				return err
			}
		case <-changed:
			if err := s.repair(); err != nil {
				return err
			}
		}
	}
}

// follow records whether the tunnel works.
func (s *supervisor) follow(ctx context.Context, e keeper.Event) error {
	s.note(e)
	name := s.plan.setup.Name
	if e.Ended == nil && e.Completed == nil {
		return nil
	}
	if _, err := tun.Up(name); err != nil {
		// Its descriptor is of no use any more, and another device has no seal.
		return &guard.StateError{Err: fmt.Errorf("tunnel %q lost its device: %w", name, err), State: "the host is closed"}
	}
	if session, ok := s.host.Session(name); ok && session.Up == (e.Completed != nil) {
		return nil
	}
	if _, err := s.host.Connected(ctx, name, e.Completed != nil); err != nil {
		s.log.Error("cannot record how the tunnel is", "tunnel", name, "err", err)
	}
	return nil
}

// watch asks for a look at the device after each change of a link.
func (s *supervisor) watch(m *link.Monitor, changed chan<- struct{}) {
	for {
		events, err := m.Next()
		if err != nil {
			return // closed, at the end
		}
		for _, e := range events {
			if e.Kind == link.Changed || e.Kind == link.Lost {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		}
	}
}

// repair puts addresses and routes back that went when the device was down. A
// tunnel whose session somebody ended has no seal, and ends.
func (s *supervisor) repair() error {
	name := s.plan.setup.Name
	if _, ok := s.host.Session(name); !ok {
		return &guard.StateError{Err: fmt.Errorf("tunnel %q ends: somebody ended its session", name), State: "`vpnguard status` says what is enforced"}
	}
	if up, err := tun.Up(name); err != nil || !up {
		return nil // whoever set it down has a reason, and nothing leaves meanwhile
	}
	err := s.configure()
	if err == nil {
		_, err = s.host.Resteer(context.Background(), name)
	}
	if err != nil {
		s.log.Error("cannot put back what the device lost", "tunnel", name, "err", err)
	}
	return nil
}

// stop gives the host back while the tunnel still works, and then ends it.
func (s *supervisor) stop() error {
	guardian.Notify("STOPPING=1")
	s.lastHooks(wgconf.PreDown)
	defer s.lastHooks(wgconf.PostDown)
	res, err := s.host.Stop(context.Background(), guard.Selection{Dev: s.plan.setup.Name})
	for _, warning := range res.Warnings {
		s.log.Warn(warning)
	}
	if err != nil {
		return err
	}
	s.log.Info("the tunnel ended", "tunnel", s.plan.setup.Name, "state", res.State)
	return nil
}

// resize gives the device the MTU that the engine found. What it says is not
// more than a wish: it is the part that the internet talks to.
func (s *supervisor) resize(mtu int) {
	if mtu < minMTU || mtu > engine.MaxMTU {
		s.log.Warn("the engine asks for an MTU that no device has", "tunnel", s.plan.setup.Name, "mtu", mtu)
		return
	}
	if err := tun.SetMTU(s.plan.setup.Name, mtu); err != nil {
		s.log.Warn("the device does not get its MTU", "tunnel", s.plan.setup.Name, "err", err)
		return
	}
	s.mtu = mtu
}

// minMTU is the least that an IPv4 host has (RFC 1122, section 3.3.3).
const minMTU = 576

// note does what is worth a line, and little else.
func (s *supervisor) note(e keeper.Event) {
	switch {
	case e.MTU != 0:
		s.resize(e.MTU)
	case e.Refused != nil:
		s.log.Warn("the engine changed what it may not change; the next one does not get that", "tunnel", s.plan.setup.Name, "err", e.Refused)
	case e.Ended != nil:
		s.log.Warn("the engine ended; the host stays closed and another one follows", "tunnel", s.plan.setup.Name, "err", e.Ended)
	case e.Ready != nil:
		for _, m := range e.Ready.Missing {
			s.log.Warn("the engine is less confined than it could be", "missing", m)
		}
	}
}
