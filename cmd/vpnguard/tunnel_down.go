package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/owner"
	"github.com/vpnguard/vpnguard/tunnel/tun"
	"github.com/vpnguard/vpnguard/wireguard"
)

type tunnelDownCommand struct {
	Tunnel string `arg:"" help:"Name of the tunnel, or its file." placeholder:"NAME|CONF"`
}

// endTime bounds the wait for a supervisor to end: it gives the host back, for
// which it may have to wait for another call (30 s), and ends its engine.
const endTime = 40 * time.Second

// Run ends the supervisor, which gives the host back; without one it does so
// itself.
func (c *tunnelDownCommand) Run(ctx context.Context, w *world) error {
	name, err := endpoint.ParseIfName(strings.TrimSuffix(filepath.Base(c.Tunnel), ".conf"))
	if err != nil {
		return &usageError{fmt.Errorf("tunnel %q: %w", c.Tunnel, err), "nothing was changed; give the name of its device"}
	}
	h, done, err := w.host()
	if err != nil {
		return err
	}
	defer done()
	session, ok := h.Session(name.String())
	if !ok || session.Client != tunnelClient {
		return &usageError{fmt.Errorf("no tunnel %q is up", name), "nothing was changed; `vpnguard status` shows what there is"}
	}
	if err := endSupervisor(ctx, session); err != nil {
		return err
	}
	var res guard.Result
	if _, left := h.Session(name.String()); left {
		if res, err = h.Stop(ctx, guard.Selection{Dev: name.String()}); err != nil {
			return err
		}
		w.report(res, nil)
	} else if st, err := h.Guard.Status(); err == nil {
		res.State = st.State
	}
	// Its holders are gone; one that was stopped may still have it.
	if err := errors.Join(tun.Remove(name.String()), wireguard.Remove(name.String())); err != nil {
		return err
	}
	fmt.Fprintf(w.stderr, "vpnguard: %s\n", res.State)
	return nil
}

// endTunnels ends the own tunnels of sessions that are not recorded any more:
// without a seal there is none.
func (w *world) endTunnels(ctx context.Context, h *host, before []guard.Session) {
	for _, s := range before {
		if _, left := h.Session(s.Dev); left || s.Client != tunnelClient {
			continue
		}
		if err := endSupervisor(ctx, s); err != nil {
			w.warn([]string{err.Error()})
		}
	}
}

// endSupervisor stops the session's process and waits for its end. The process
// is held by a descriptor, so that no other one of that number is meant.
func endSupervisor(ctx context.Context, s guard.Session) error {
	fd, err := unix.PidfdOpen(s.PID, 0)
	if err != nil || !owner.Alive(s.PID, s.Start, "") {
		if err == nil {
			_ = unix.Close(fd)
		}
		return nil
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0); err != nil {
		return &guard.StateError{Err: fmt.Errorf("end the tunnel's supervisor (pid %d): %w", s.PID, err), State: "the host is closed"}
	}
	if endsWithin(ctx, fd, endTime) {
		return nil
	}
	return &guard.StateError{Err: fmt.Errorf("the tunnel's supervisor (pid %d) does not end", s.PID), State: "the host is closed"}
}

// endsWithin waits until the process of a descriptor has ended.
func endsWithin(ctx context.Context, fd int, limit time.Duration) bool {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline) && ctx.Err() == nil; {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 100); n > 0 && err == nil {
			return true
		}
	}
	return false
}
