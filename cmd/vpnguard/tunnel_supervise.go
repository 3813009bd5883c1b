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
	keeper *keeper.Keeper    // nil: the kernel moves the packets
	uapi   *net.UnixListener // nil: it could not be opened
	log    *slog.Logger

	events chan keeper.Event
	ended  chan error // what became of the keeper
	known  bool       // the session was recorded before: the host was closed
	since  time.Time
	mtu    int // of the device
	where  whereabouts
	begun  bool // PreUp was, and whatever comes, PostDown will be
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
	defer func() { // when the device is gone
		if s.begun {
			s.lastHooks(wgconf.PostDown)
		}
	}()
	earlier, known := h.Session(plan.setup.Name)
	s.known = known
	ends, err := s.plan.resolve(ctx, earlier.Endpoints)
	if err != nil {
		return err
	}
	if _, err := clearDead(plan.setup.Name); err != nil {
		return &guard.StateError{Err: err, State: "nothing was changed"}
	}
	if c.Backend == kernelBackend {
		return s.overKernel(ctx, ends)
	}
	// Down and without an address: nothing goes in or out by it yet.
	if s.device, err = tun.Open(endpoint.IfName(plan.setup.Name), tun.All); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nameTaken(plan.setup.Name, err)
		}
		return &guard.StateError{Err: err, State: "nothing was changed"}
	}
	defer s.device.Close()
	s.plan.setup.TUN, s.where = s.device.Has(), newWhereabouts(s.plan)
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
	s.begun = true
	if err = s.hooks(ctx, wgconf.PreUp); err == nil {
		err = s.begin()
	}
	if err == nil {
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

// begin lets packets leave.
func (s *supervisor) begin() error {
	if s.keeper == nil {
		return s.fill()
	}
	s.keeper.Begin()
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
	gso := 0 // the kernel's own
	if s.keeper != nil {
		gso = tun.GSOSize(mtu, noise.TransportSize, udp.MaxBytes, udp.MaxSegments)
	}
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
	return handshake(ctx, s.Wait, s.ended, s.events, func(e keeper.Event) {
		s.sought(ctx, e)
		s.note(e)
	}, s.where.found, func(f found) { s.moved(ctx, f) })
}

// handshake waits for any peer's. note is told of all that happens, moved of where
// names lead to, and ended still has what became of the engine's keeper afterwards.
func handshake(ctx context.Context, wait time.Duration, ended chan error, events <-chan keeper.Event, note func(keeper.Event), names <-chan found, moved func(found)) error {
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
		case f := <-names:
			moved(f)
		case e := <-events:
			note(e)
			if e.Completed != nil {
				return nil
			}
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
		case f := <-s.where.found:
			s.moved(ctx, f)
		case e := <-s.events:
			s.sought(ctx, e)
			if err := s.follow(ctx, e); err != nil {
				return err
			}
		case <-changed:
			if !s.recorded() { // without a seal there is no tunnel
				return s.stop()
			}
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

// repair puts addresses and routes back that went when the device was down.
func (s *supervisor) repair() error {
	name := s.plan.setup.Name
	if up, err := tun.Up(name); err != nil || !up {
		return nil // whoever set it down has a reason, and nothing leaves meanwhile
	}
	err := s.configure()
	if err == nil {
		_, err = s.host.Resteer(context.Background(), name)
	}
	if err != nil && !s.recorded() {
		return s.stop()
	}
	if err != nil {
		s.log.Error("cannot put back what the device lost", "tunnel", name, "err", err)
	}
	return nil
}

// recorded reports whether the tunnel's session is: whoever ends it ends the tunnel.
func (s *supervisor) recorded() bool {
	_, ok := s.host.Session(s.plan.setup.Name)
	return ok
}

// stop gives the host back while the tunnel still works, and then ends it. There is
// nothing to give back where somebody else ended the session.
func (s *supervisor) stop() error {
	guardian.Notify("STOPPING=1")
	s.lastHooks(wgconf.PreDown)
	if !s.recorded() {
		s.log.Info("the tunnel ended: somebody ended its session", "tunnel", s.plan.setup.Name)
		return nil
	}
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
