package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/netns"
	"github.com/vpnguard/vpnguard/owner"
	"github.com/vpnguard/vpnguard/state"
)

type netnsCommand struct {
	Up   netnsUpCommand   `cmd:"" help:"Make a namespace with a tunnel in it."`
	Down netnsDownCommand `cmd:"" help:"End a namespace; programs in it go on without any connectivity."`
	Hook netnsHookCommand `cmd:"" hidden:""`
	List netnsListCommand `cmd:"" help:"List the namespaces, their tunnels and programs."`
}

// namespaces are those that this program keeps.
func (w *world) namespaces() netns.Book { return netns.Book{Dir: filepath.Join(w.stateDir, "netns")} }

type netnsDownCommand struct {
	Name netns.Name `arg:"" help:"Name of the namespace." placeholder:"NAME"`
}

// Run ends the process that keeps the namespace, which takes everything away;
// where there is none it does so itself.
func (c *netnsDownCommand) Run(ctx context.Context, w *world) error {
	page := w.namespaces().Page(c.Name)
	rec, err := page.Load()
	if errors.Is(err, state.ErrNone) {
		return &usageError{fmt.Errorf("no namespace %q is up", c.Name), "nothing was changed; `vpnguard netns list` shows what there is"}
	}
	if err != nil {
		return &guard.StateError{Err: err, State: "nothing was changed"}
	}
	if err := endKeeper(ctx, rec); err != nil {
		return err
	}
	if err := w.clear(ctx, page); err != nil {
		return err
	}
	left := ""
	if n := len(netns.Programs(rec.Inode)); n > 0 {
		left = fmt.Sprintf("; %d programs still run in it, without any connectivity", n)
	}
	fmt.Fprintf(w.stderr, "vpnguard: namespace %s ended%s\n", c.Name, left)
	return nil
}

// clear takes away what is left of a namespace that nobody keeps.
func (w *world) clear(ctx context.Context, page netns.Page) error {
	return page.With(ctx, func() error {
		rec, err := page.Load()
		if errors.Is(err, state.ErrNone) || rec.Alive() {
			return nil
		}
		if err == nil {
			err = endClient(rec)
		}
		if err == nil {
			err = page.Clear(rec)
		}
		if err != nil {
			return &guard.StateError{Err: err, State: fmt.Sprintf("namespace %q is without a tunnel; `vpnguard recover` tries again", page.Name)}
		}
		return nil
	})
}

// endKeeper stops the namespace's process and waits for its end.
func endKeeper(ctx context.Context, rec netns.Record) error {
	fd, err := unix.PidfdOpen(rec.PID, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	if !rec.Alive() {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil {
		return &guard.StateError{Err: fmt.Errorf("end the namespace's process (pid %d): %w", rec.PID, err), State: "nothing was changed"}
	}
	if endsWithin(ctx, fd, endTime) {
		return nil
	}
	return &guard.StateError{Err: fmt.Errorf("the namespace's process (pid %d) does not end", rec.PID), State: "the namespace is as it was"}
}

// endClient ends another program's process that has the tunnel and has outlived
// who started it. It is asked first, so that its own hooks run.
func endClient(rec netns.Record) error {
	if rec.Client == 0 {
		return nil
	}
	fd, err := unix.PidfdOpen(rec.Client, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if !owner.Alive(rec.Client, rec.ClientAt, "") {
			return nil
		}
		if err := unix.PidfdSendSignal(fd, s, nil, 0); err != nil {
			return fmt.Errorf("end the client (pid %d): %w", rec.Client, err)
		}
		if endsWithin(context.Background(), fd, clientTime) {
			return nil
		}
	}
	return fmt.Errorf("the client (pid %d) does not end", rec.Client)
}

// clientTime is how long a client may take to end: OpenVPN tells its server.
const clientTime = 10 * time.Second

// recoverNamespaces takes away what processes left that were killed.
func (w *world) recoverNamespaces(ctx context.Context) error {
	pages, err := w.namespaces().Pages()
	if err != nil {
		return err
	}
	var all error
	for _, page := range pages {
		rec, err := page.Load()
		if err == nil && rec.Alive() {
			continue
		}
		if err := w.clear(ctx, page); err != nil {
			all = errors.Join(all, err)
			continue
		}
		fmt.Fprintf(w.stderr, "vpnguard: namespace %q: nobody keeps it; it ended\n", page.Name)
	}
	return all
}

// thisProcess is, as a record names it.
func thisProcess() (pid int, start uint64, err error) {
	p, err := owner.Find(os.Getpid(), "")
	return p.PID, p.StartTime, err
}
