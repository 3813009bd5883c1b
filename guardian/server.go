package guardian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/vpnguard/vpnguard/guard"
)

// Bounds of what callers can take up. Root is not counted, so that nobody else
// can keep it out.
const (
	maxCalls    = 12              // of all other callers at a time
	maxCallsUID = 4               // of one of them
	readTimeout = 5 * time.Second // for a call to arrive: it is written at once
)

// server answers calls one after the other per connection, several connections
// at a time; the record's lock puts changes in order.
type server struct {
	guard    *guard.Guard
	procs    Processes
	classify func(error) (code int, hint string)
	info     func() Info
	ears     *ears
	changed  func() // called after each call that may have changed the host
	log      *slog.Logger

	mu     sync.Mutex
	calls  map[uint32]int // of callers that are not root, by uid
	logged time.Time      // when the lines began to be counted
	lines  int
}

// serve accepts until the listener is closed.
func (s *server) serve(ctx context.Context, l *net.UnixListener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, say: calls wait in the backlog meanwhile.
			s.log.Warn("accept a call", "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		wg.Go(func() {
			defer conn.Close()
			s.handle(ctx, conn)
		})
	}
}

func (s *server) handle(ctx context.Context, conn *net.UnixConn) {
	peer, err := peerOf(conn, s.procs)
	if err != nil {
		s.log.Warn("refused a call", "error", err)
		return
	}
	reply := Reply{}
	leave, err := s.enter(peer)
	if err == nil {
		defer leave()
		reply, err = s.answer(ctx, conn, peer)
	}
	if err != nil {
		code, hint := s.classify(err)
		reply.Failure = &Failure{Text: err.Error(), Code: code, Hint: hint, Denied: errors.Is(err, os.ErrPermission)}
		if s.mayLog(peer, err) {
			s.log.Warn("refused or failed", "caller", peer.String(), "error", err)
		}
	}
	_ = conn.SetWriteDeadline(time.Now().Add(readTimeout))
	if err := WriteFrame(conn, reply); err != nil {
		s.log.Info("a caller did not wait for its answer", "caller", peer.String(), "error", err)
	}
}

// enter counts a caller; the function uncounts it.
func (s *server) enter(p Peer) (func(), error) {
	if p.root() {
		return func() {}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	total := 0
	for _, n := range s.calls {
		total += n
	}
	uid := p.UID
	if p.Foreign {
		uid = foreignUID
	}
	if s.calls[uid] >= maxCallsUID || total >= maxCalls {
		return nil, &guard.StateError{Err: fmt.Errorf("%d calls of uid %d, %d in all are under way: %w", s.calls[uid], p.UID, total, errBusy), State: "nothing was changed"}
	}
	s.calls[uid]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.calls[uid]--; s.calls[uid] == 0 {
			delete(s.calls, uid)
		}
	}, nil
}

// foreignUID stands for all callers of other user namespaces together: a user
// may have thousands of uids there. No process has it (setuid(2) refuses -1).
const foreignUID = ^uint32(0)

// mayLog bounds what callers who are not root can write into the log, and
// leaves out who hung up without a word.
func (s *server) mayLog(p Peer, err error) bool {
	if p.root() {
		return !errors.Is(err, io.EOF)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.logged) > logWindow {
		s.logged, s.lines = now, 0
	}
	s.lines++
	return s.lines <= maxLines && !errors.Is(err, io.EOF)
}

// Lines of refusals in a time, so that others are still found in the log.
const (
	maxLines  = 20
	logWindow = 10 * time.Second
)

var errBusy = errors.New("too many calls at a time")

func (s *server) answer(ctx context.Context, conn *net.UnixConn, peer Peer) (Reply, error) {
	var call Call
	if err := conn.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
		return Reply{}, err
	}
	if err := ReadFrame(conn, &call); err != nil {
		return Reply{}, refusal(err)
	}
	if call.Version != Version {
		return Reply{}, refusal(fmt.Errorf("the guardian speaks version %d, the call is version %d: restart the guardian after an upgrade", Version, call.Version))
	}
	if err := call.check(); err != nil {
		return Reply{}, refusal(err)
	}
	if call.NetNS != s.guard.NetNS {
		return Reply{}, refusal(fmt.Errorf("the guardian guards network namespace %d, the call is from %d", s.guard.NetNS, call.NetNS))
	}
	if !peer.may(call.Verb, call.Selection) {
		return Reply{}, refusal(fmt.Errorf("%s: %s asks: %w", call.Verb, peer, os.ErrPermission))
	}
	switch call.Verb {
	case VerbInfo:
		i := s.info()
		return Reply{Info: &i}, nil
	case VerbFollow:
		return Reply{}, s.follow(ctx, conn)
	default:
	}
	res, err := s.carryOut(ctx, call, peer)
	if err == nil && (peer.root() || len(res.Done) > 0) {
		s.changed()
		s.log.Info("done", "call", call.Verb, "caller", peer.String(), "state", res.State.String(), "what", res.Done)
	}
	return Reply{Result: res}, err
}

// follow tells of blocked packets until the caller hangs up.
func (s *server) follow(ctx context.Context, conn *net.UnixConn) error {
	events, leave, err := s.ears.follow()
	if err != nil {
		return err
	}
	defer leave()
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() { // the caller sends nothing more: what can be read is its end
		_, _ = conn.Read(make([]byte, 1))
		close(gone)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gone:
			return nil
		case e := <-events:
			if err := conn.SetWriteDeadline(time.Now().Add(readTimeout)); err != nil {
				return err
			}
			if err := WriteFrame(conn, Reply{Event: &e}); err != nil {
				return nil // it hung up
			}
		}
	}
}

func refusal(err error) error { return &guard.StateError{Err: err, State: "nothing was changed"} }

func (s *server) carryOut(ctx context.Context, call Call, peer Peer) (guard.Result, error) {
	switch call.Verb {
	case VerbUp:
		return s.guard.Up(ctx, *call.Up, false)
	case VerbUpdate:
		return s.guard.Update(ctx, call.PID, call.Endpoints, peer.mayUpdate)
	case VerbMove:
		return s.guard.Move(ctx, call.PID, call.Endpoints, peer.mayUpdate)
	case VerbRestart:
		call.Selection.Allowed = peer.mayEnd
		return s.guard.Restart(ctx, *call.Selection)
	case VerbStop:
		call.Selection.Allowed = peer.mayEnd
		return s.guard.Stop(ctx, *call.Selection)
	case VerbLock:
		return s.guard.Lock(ctx, *call.Lock, false)
	case VerbConfirm:
		return s.guard.Confirm(ctx)
	case VerbUnlock:
		return s.guard.Unlock(ctx)
	case VerbExpire:
		return s.guard.Expire(ctx, call.Trial)
	case VerbRecover:
		return s.guard.Recover(ctx)
	case VerbInfo, VerbFollow:
	}
	return guard.Result{}, refusal(fmt.Errorf("verb %q is none", call.Verb))
}
