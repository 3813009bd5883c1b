package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/dns"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/guardian"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/route"
	"github.com/vpnguard/vpnguard/state"
	"github.com/vpnguard/vpnguard/sysctl"
)

// host is this host. Its changes are made by the guardian if one runs, and by
// this process otherwise; what only looks is done here.
type host struct {
	*guard.Guard
	filter *nft.Conn
	client guardian.Client
}

// host opens this host's parts. The caller closes them by the function.
func (w *world) host() (*host, func(), error) {
	filter, err := nft.Open()
	if err != nil {
		return nil, nil, &guard.StateError{Err: err, State: "nothing was changed"}
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		_ = filter.Close()
		return nil, nil, &guard.StateError{Err: fmt.Errorf("open route socket: %w", err), State: "nothing was changed"}
	}
	netns, err := networkNamespace()
	if err != nil {
		h.Close()
		_ = filter.Close()
		return nil, nil, &guard.StateError{Err: err, State: "nothing was changed"}
	}
	g := &guard.Guard{
		NetNS:    netns,
		Filter:   filter,
		NAT:      filter,
		Knobs:    knobs{sysctl.FS{}},
		Routing:  route.Kernel{Handle: h},
		Journal:  state.New(w.stateDir),
		Kept:     state.New(w.keptDir),
		Links:    links{h},
		Clients:  clients{},
		Resolver: net.DefaultResolver,
		Names:    dns.System{},

		NamesJournal: namesJournal{state.New(filepath.Join(w.keptDir, "names")), w.keptDir},

		Now:    time.Now,
		Uptime: uptime,
	}
	if callsHook(w.args) {
		g.Journal = leanJournal{state.New(w.stateDir)}
	}
	return &host{g, filter, guardian.Client{Socket: guardian.SocketPath(w.guardianDir()), NetNS: netns}}, func() {
		h.Close()
		_ = filter.Close()
	}, nil
}

// guardianDir is the directory of the guardian's lock and socket.
func (w *world) guardianDir() string { return filepath.Join(w.stateDir, "guardian") }

// changing is how long a guardian takes to start or to end, at most: meanwhile
// it owns the tables and does not answer.
const changing = 5 * time.Second

// asked prefers the guardian: it owns the tables, and may do what a client that
// gave up its privileges may not.
func asked(remote, self func() (guard.Result, error)) (guard.Result, error) {
	for deadline := time.Now().Add(changing); ; time.Sleep(50 * time.Millisecond) {
		res, err := remote()
		if !errors.Is(err, guardian.ErrNotRunning) {
			return res, err
		}
		if res, err = self(); !errors.Is(err, nft.ErrOwned) || time.Now().After(deadline) {
			return res, err
		}
	}
}

func (h *host) Up(ctx context.Context, r guard.Request, dryRun bool) (guard.Result, error) {
	if dryRun {
		return h.Guard.Up(ctx, r, true)
	}
	return asked(func() (guard.Result, error) { return h.client.Up(ctx, r) }, func() (guard.Result, error) { return h.Guard.Up(ctx, r, false) })
}

func (h *host) Update(ctx context.Context, pid int, ends []endpoint.Endpoint) (guard.Result, error) {
	return asked(func() (guard.Result, error) { return h.client.Update(ctx, pid, ends) }, func() (guard.Result, error) { return h.Guard.Update(ctx, pid, ends, nil) })
}

func (h *host) Move(ctx context.Context, pid int, ends []endpoint.Endpoint) (guard.Result, error) {
	return asked(func() (guard.Result, error) { return h.client.Move(ctx, pid, ends) }, func() (guard.Result, error) { return h.Guard.Move(ctx, pid, ends, nil) })
}

func (h *host) Restart(ctx context.Context, sel guard.Selection) (guard.Result, error) {
	return asked(func() (guard.Result, error) { return h.client.Restart(ctx, sel) }, func() (guard.Result, error) { return h.Guard.Restart(ctx, sel) })
}

func (h *host) Stop(ctx context.Context, sel guard.Selection) (guard.Result, error) {
	return asked(func() (guard.Result, error) { return h.client.Stop(ctx, sel) }, func() (guard.Result, error) { return h.Guard.Stop(ctx, sel) })
}

func (h *host) Lock(ctx context.Context, r guard.LockRequest, dryRun bool) (guard.Result, error) {
	if dryRun {
		return h.Guard.Lock(ctx, r, true)
	}
	return asked(func() (guard.Result, error) { return h.client.Lock(ctx, r) }, func() (guard.Result, error) { return h.Guard.Lock(ctx, r, false) })
}

func (h *host) Confirm(ctx context.Context) (guard.Result, error) {
	return asked(func() (guard.Result, error) { return h.client.Confirm(ctx) }, func() (guard.Result, error) { return h.Guard.Confirm(ctx) })
}

func (h *host) Unlock(ctx context.Context) (guard.Result, error) {
	return asked(func() (guard.Result, error) { return h.client.Unlock(ctx) }, func() (guard.Result, error) { return h.Guard.Unlock(ctx) })
}

func (h *host) Expire(ctx context.Context, trial string) (guard.Result, error) {
	return asked(func() (guard.Result, error) { return h.client.Expire(ctx, trial) }, func() (guard.Result, error) { return h.Guard.Expire(ctx, trial) })
}

func (h *host) Recover(ctx context.Context) (guard.Result, error) {
	return asked(func() (guard.Result, error) { return h.client.Recover(ctx) }, func() (guard.Result, error) { return h.Guard.Recover(ctx) })
}

// uptime is the time since boot, sleep included (clock_gettime(2)).
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err) // Linux 2.6.39 has it
	}
	return time.Duration(ts.Nano())
}

// networkNamespace is the inode number of the one that this process is in.
func networkNamespace() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return 0, fmt.Errorf("find the own network namespace: %w", err)
	}
	return st.Ino, nil
}

// namesJournal makes the directory that its own is in.
type namesJournal struct {
	*state.Store
	parent string
}

func (j namesJournal) Lock(ctx context.Context) error {
	if err := os.MkdirAll(j.parent, 0o755); err != nil {
		return err
	}
	return j.Store.Lock(ctx)
}

type knobs struct{ sysctl.FS }

func (k knobs) Plan(wires, tunnels []string) ([]sysctl.Change, []sysctl.Skipped, error) {
	return sysctl.Plan(k.FS, wires, tunnels)
}

func (k knobs) Forward(ifaces []string) ([]sysctl.Change, []sysctl.Skipped, error) {
	return sysctl.PlanForwarding(k.FS, ifaces)
}

type links struct{ handle *netlink.Handle }

func (l links) List() ([]link.Link, error) { return link.List(l.handle) }

func (l links) RouteTo(addr netip.Addr, mark uint32) (int, error) {
	return link.RouteTo(l.handle, addr, mark)
}
