package guardian

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/state"
)

// Guardian watches one host. Its fields are set before Run.
type Guardian struct {
	Guard *guard.Guard
	// Owns reports whether the guard's filter owns its tables.
	Owns bool
	// Dir is the guardian's own directory, for its lock and its socket.
	Dir      string
	Procs    Processes
	Classify func(error) (code int, hint string)
	Metrics  string // where to serve OpenMetrics, ADDR:PORT or unix:PATH; empty: nowhere
	Log      *slog.Logger

	mu      sync.Mutex
	started time.Time
	ears    *ears
	stats   stats
	since   []string      // culprits since the last look
	what    []string      // what they changed
	futile  int           // looks in a row that put sysctls right, or failed
	owed    bool          // a kept lock could not be put back yet
	ending  string        // a trial whose end failed
	names   string        // what was told of the resolvers
	closed  time.Duration // how long it took to close again at once; 0: not done
}

// stats are what metrics and status tell.
type stats struct {
	heals int
	last  *Heal
	state guard.State
}

// SocketPath is where the guardian with this directory listens.
func SocketPath(dir string) string { return filepath.Join(dir, "socket") }

// Everything is looked at again after this time even if nothing was announced:
// some sysctls can change without notice.
const sweep = time.Minute

// A stormy host is looked at no more often than this; the first look of a storm
// comes at once.
const calm = 20 * time.Millisecond

// Names of servers are asked for again so often while a session is up.
const refreshNames = 5 * time.Minute

// resolveTimeout bounds that.
const resolveTimeout = 10 * time.Second

// ErrAnother means that another guardian runs.
var ErrAnother = errors.New("another guardian runs")

// Run guards until ctx ends. Ending opens nothing: tables, sysctls and the
// record stay as they are.
func (g *Guardian) Run(ctx context.Context) error {
	unlock, err := g.alone()
	if err != nil {
		return err
	}
	defer unlock()
	g.started, g.ears = time.Now(), newEars()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // whatever ends this ends what it started

	// Listen before looking: what changes in between is told.
	rulesets, err := nft.OpenMonitor()
	if err != nil {
		return err
	}
	defer rulesets.Close()
	links, err := link.OpenMonitor()
	if err != nil {
		return err
	}
	defer links.Close()
	files, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch files: %w", err)
	}
	defer files.Close()
	g.Guard.Watching = true
	g.takeOver(ctx)
	defer g.leave()

	listener, err := listen(SocketPath(g.Dir))
	if err != nil {
		return err
	}
	stopMetrics, err := g.serveMetrics()
	if err != nil {
		_ = listener.Close()
		return err
	}
	defer stopMetrics()
	touched := make(chan struct{}, 1)
	srv := &server{guard: g.Guard, procs: g.Procs, classify: g.Classify, info: g.info, ears: g.ears, log: g.Log, calls: map[uint32]int{},
		changed: func() { poke(touched) }}
	var serving sync.WaitGroup
	serving.Go(func() { srv.serve(ctx, listener) })
	defer serving.Wait()
	defer listener.Close()
	defer cancel() // before serving.Wait
	serving.Go(func() {
		if err := g.ears.hear(ctx); ctx.Err() == nil {
			g.Log.Warn("blocked packets are counted, but nobody tells who tried", "error", err)
		}
	})

	Notify("READY=1")
	defer Notify("STOPPING=1")
	g.Log.Info("guarding", "state", g.stats.state.String(), "owns", g.Owns, "socket", SocketPath(g.Dir))
	return g.loop(ctx, rulesets, links, files, touched)
}

// alone takes the lock that one guardian holds.
func (g *Guardian) alone() (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(g.Dir), 0o755); err != nil {
		return nil, &guard.StateError{Err: fmt.Errorf("take the guardian's place: %w", err), State: "nothing was changed"}
	}
	store := state.New(g.Dir)
	wait, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	err = store.Lock(wait)
	var held *state.LockedError
	if errors.As(err, &held) {
		return nil, &guard.StateError{Err: fmt.Errorf("%w (pid %d)", ErrAnother, held.PID), State: "nothing was changed"}
	}
	if err != nil {
		return nil, &guard.StateError{Err: fmt.Errorf("take the guardian's place: %w", err), State: "nothing was changed"}
	}
	return func() { _ = store.Unlock() }, nil
}

// takeOver puts what is recorded in force anew, as the owner, and what was kept
// over a boot if nothing is. What fails is no reason not to guard the rest: the
// loop tries again.
func (g *Guardian) takeOver(ctx context.Context) {
	h, err := g.Guard.Heal(ctx, true)
	if err != nil {
		g.Log.Error("cannot take over all that is recorded", "error", err)
	}
	if err == nil && h.State == guard.Open && g.Guard.HasKept() {
		h.State = g.lockAsKept(ctx)
	}
	g.mu.Lock()
	g.stats.state = h.State
	g.mu.Unlock()
}

// lockAsKept closes a host that was locked when it went down. If that fails, each
// look tries again.
func (g *Guardian) lockAsKept(ctx context.Context) guard.State {
	res, err := g.Guard.Lock(ctx, guard.LockRequest{Kept: true, OnlyKept: true}, false)
	if err != nil {
		g.Log.Error("lock as it was kept", "error", err)
	} else {
		g.Log.Info("locked as it was kept over the boot")
	}
	// A damaged record closes too, and says so by an error.
	g.owed = err != nil && !g.Guard.View().Enforced
	return res.State
}

// leaving bounds the last change, behind one that is under way.
const leaving = 10 * time.Second

func (g *Guardian) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaving)
	defer cancel()
	if err := g.Guard.Leave(ctx); err != nil {
		g.Log.Error("cannot take back what takes a guardian", "error", err)
	}
}

// listen makes the socket, which everybody may call: the guardian asks the
// kernel who does.
func listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the socket of an earlier guardian: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("let everybody call: %w", err)
	}
	return l, nil
}

func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pump turns a monitor into a channel; its last value is the error.
func pump[T any](next func() ([]T, error)) (<-chan []T, <-chan error) {
	values, failed := make(chan []T, 64), make(chan error, 1)
	go func() {
		defer close(values)
		for {
			list, err := next()
			if err != nil {
				failed <- err
				return
			}
			values <- list
		}
	}()
	return values, failed
}

func (g *Guardian) loop(ctx context.Context, rulesets *nft.Monitor, links *link.Monitor, files *fsnotify.Watcher, touched <-chan struct{}) error {
	changes, changesFailed := pump(rulesets.Next)
	events, eventsFailed := pump(links.Next)
	own := program()
	watched := newWatched(files, g.Log)
	watched.follow(g.interfaces())
	ticker := time.NewTicker(sweep)
	defer ticker.Stop()
	trial := time.NewTimer(time.Hour)
	trial.Stop()
	later := time.NewTimer(time.Hour)
	later.Stop()
	var last, refreshed time.Time
	look := func(why string) {
		// Rules that others changed never wait; what cannot be put right, or
		// is changed back each time, waits longer and longer.
		pause := min(sweep, calm<<min(g.futile, 12))
		if why == whyRuleset {
			pause = calm
		}
		if wait := pause - time.Since(last); wait > 0 {
			later.Reset(wait)
			return
		}
		g.heal(ctx, why)
		last = time.Now()
		g.watchTrial(trial)
	}
	look("start")
	named := make(chan struct{}, 1)
	go g.followNames(ctx, named)
	for {
		select {
		case <-ctx.Done():
			g.Log.Info("the guardian ends; nothing opens")
			return nil
		case list := <-changes:
			ours, foreign := g.blame(list, own)
			if foreign && !g.Owns && time.Since(last) >= calm {
				g.closeAgain(ctx)
			}
			if ours && foreign { // our own changes need no look
				look(whyRuleset)
			}
		case list := <-events:
			if g.routing(list) {
				watched.follow(g.interfaces())
			}
			look("links")
		case e := <-files.Events:
			if watched.isResolver(e) {
				g.Log.Info("the resolver configuration was changed", "file", e.Name, "how", e.Op.String())
				look("names")
			} else if watched.isKnob(e) {
				look("sysctl")
			}
		case err := <-files.Errors:
			g.Log.Warn("watch files", "error", err)
			look("files")
		case <-touched:
			look("call")
		case <-named:
			look("names")
		case <-later.C:
			look("storm")
		case now := <-ticker.C:
			look("sweep")
			if now.Sub(refreshed) >= refreshNames {
				refreshed = now
				go g.refresh(ctx)
			}
		case <-trial.C:
			if g.expire(ctx) {
				g.watchTrial(trial)
			} else {
				trial.Reset(time.Second)
			}
		case err := <-changesFailed:
			return fmt.Errorf("%w; the host is as it was", err)
		case err := <-eventsFailed:
			return fmt.Errorf("%w; the host is as it was", err)
		}
	}
}

func (g *Guardian) refresh(ctx context.Context) {
	added, err := g.Guard.RefreshNames(ctx, resolveTimeout)
	if err != nil {
		g.Log.Warn("look names of servers up", "error", err)
	}
	for _, e := range added {
		g.Log.Info("a server's name leads to another address", "endpoint", e.String())
	}
}

func (g *Guardian) info() Info {
	g.mu.Lock()
	defer g.mu.Unlock()
	recent := g.ears.recent.Snapshot().Entries
	return Info{PID: os.Getpid(), Since: g.started, Owns: g.Owns, Heals: g.stats.heals, LastHeal: g.stats.last,
		Blocked: recent[:min(len(recent), toldKinds)], Window: window}
}

// toldKinds of blocked packets are told at once.
const toldKinds = 32

// program is this program's name as the kernel shortens it.
func program() string {
	text, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return "vpnguard"
	}
	return strings.TrimSpace(string(text))
}
