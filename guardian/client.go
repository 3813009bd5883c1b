package guardian

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/blocked"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
)

// Client asks the guardian to change the host.
type Client struct {
	Socket string
	NetNS  uint64 // that the caller is in
}

// callTimeout bounds a call: waiting for others that change the host (30 s) and
// the looking up of names (at most as long again) are part of it.
const callTimeout = 75 * time.Second

// ErrNotRunning means that no guardian listens.
var ErrNotRunning = errors.New("no guardian runs")

// Follower gets blocked packets from the guardian.
type Follower struct {
	conn net.Conn
	ctx  context.Context
	stop func() bool
}

// Follow asks for blocked packets until ctx ends. Without a guardian the error is
// [ErrNotRunning].
func (c Client) Follow(ctx context.Context) (*Follower, error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	if err := WriteFrame(conn, Call{Version: Version, NetNS: c.NetNS, Verb: VerbFollow}); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("ask the guardian to follow: %w", err)
	}
	return &Follower{conn, ctx, context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })}, nil
}

// Next waits for the next one. After ctx ended, its error is that of ctx.
func (f *Follower) Next() (blocked.Event, error) {
	var r Reply
	err := ReadFrame(f.conn, &r)
	switch {
	case f.ctx.Err() != nil:
		return blocked.Event{}, f.ctx.Err()
	case err != nil:
		return blocked.Event{}, fmt.Errorf("follow the guardian: %w", err)
	case r.Failure != nil:
		return blocked.Event{}, r.Failure
	case r.Event == nil:
		return blocked.Event{}, errors.New("follow the guardian: it ended")
	}
	return *r.Event, nil
}

// Lost is zero: what the kernel had no room for comes with the events.
func (f *Follower) Lost() uint64 { return 0 }

// Close hangs up.
func (f *Follower) Close() error {
	f.stop()
	return f.conn.Close()
}

func (c Client) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ENOTDIR):
		return nil, ErrNotRunning
	case err != nil:
		return nil, &guard.StateError{Err: fmt.Errorf("reach the guardian: %w", err), State: "nothing was changed"}
	}
	return conn, nil
}

// Call asks once. Without a guardian the error is [ErrNotRunning], and nothing
// was asked; a [Failure] is the guardian's own answer.
func (c Client) Call(ctx context.Context, call Call) (Reply, error) {
	call.Version, call.NetNS = Version, c.NetNS
	conn, err := c.dial(ctx)
	if err != nil {
		return Reply{}, err
	}
	defer conn.Close()
	deadline := time.Now().Add(callTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return Reply{}, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	// A guardian that refuses answers before it has read all: its answer counts.
	sendErr := WriteFrame(conn, call)
	var r Reply
	if err := ReadFrame(conn, &r); err != nil {
		return Reply{}, &guard.StateError{Err: fmt.Errorf("ask the guardian to %s: %w", call.Verb, errors.Join(sendErr, err)),
			State: "it may have done so or not: `vpnguard status` says; nothing opens by this"}
	}
	if r.Failure != nil {
		return r, r.Failure
	}
	return r, nil
}

func (c Client) result(ctx context.Context, call Call) (guard.Result, error) {
	r, err := c.Call(ctx, call)
	return r.Result, err
}

// Up is [guard.Guard.Up].
func (c Client) Up(ctx context.Context, r guard.Request) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbUp, Up: &r})
}

// Update is [guard.Guard.Update].
func (c Client) Update(ctx context.Context, pid int, ends []endpoint.Endpoint) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbUpdate, PID: pid, Endpoints: ends})
}

// Move is [guard.Guard.Move].
func (c Client) Move(ctx context.Context, pid int, ends []endpoint.Endpoint) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbMove, PID: pid, Endpoints: ends})
}

// Restart is [guard.Guard.Restart].
func (c Client) Restart(ctx context.Context, sel guard.Selection) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbRestart, Selection: &sel})
}

// Stop is [guard.Guard.Stop].
func (c Client) Stop(ctx context.Context, sel guard.Selection) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbStop, Selection: &sel})
}

// Lock is [guard.Guard.Lock].
func (c Client) Lock(ctx context.Context, r guard.LockRequest) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbLock, Lock: &r})
}

// Confirm is [guard.Guard.Confirm].
func (c Client) Confirm(ctx context.Context) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbConfirm})
}

// Unlock is [guard.Guard.Unlock].
func (c Client) Unlock(ctx context.Context) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbUnlock})
}

// Expire is [guard.Guard.Expire].
func (c Client) Expire(ctx context.Context, trial string) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbExpire, Trial: trial})
}

// Recover is [guard.Guard.Recover].
func (c Client) Recover(ctx context.Context) (guard.Result, error) {
	return c.result(ctx, Call{Verb: VerbRecover})
}

// Info is what the guardian tells of itself.
func (c Client) Info(ctx context.Context) (Info, error) {
	r, err := c.Call(ctx, Call{Verb: VerbInfo})
	if err != nil || r.Info == nil {
		return Info{}, errors.Join(err)
	}
	return *r.Info, nil
}
