// Package uapi serves WireGuard's cross-platform configuration protocol for a
// tunnel's device, so that `wg` works on it, and speaks it to others' devices.
// It touches no file: whoever calls it has the listener or the connection,
// which stands at /run/wireguard/NAME.sock by convention.
//
// The protocol hands the private key and the preshared keys over, as `wg
// showconf` needs them. So the socket is for root alone: give it mode 0600, and
// the server asks the kernel who calls besides.
package uapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/tunnel"
)

// Device is what a server needs of a [tunnel.Device].
type Device interface {
	Export() (tunnel.Export, error)
	// Apply makes the whole change or, with an error, nothing of it.
	Apply(tunnel.Change) error
}

// Server answers for one device. Its fields are not to be changed once it serves.
type Server struct {
	Device Device
	// Permit is asked before each change and may refuse it; whoever seals the
	// host lets a new endpoint pass here. nil refuses every change; [Any] is
	// for devices that nothing is sealed around. Changes come one by one.
	Permit func(tunnel.Change) error
	// Settled is told of each permitted change whether it was made. It may be nil.
	Settled func(tunnel.Change, error)
	// Admit decides who may talk to the server at all; nil: [Root].
	Admit func(net.Conn) error
	// Log takes the reason for each refusal; the protocol has room for a number
	// only. No error holds a key. It may be nil.
	Log func(error)

	changing sync.Mutex
}

const (
	// maxConnections at once. The rest wait to be accepted.
	maxConnections = 16
	// patience with a caller, for each request and each answer.
	patience = 30 * time.Second
)

// Any permits every change.
func Any(tunnel.Change) error { return nil }

// Root admits processes of uid 0, by the kernel's word (SO_PEERCRED). A uid of
// another user namespace is nobody's.
func Root(c net.Conn) error {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a caller by %T cannot be asked who it is: %w", c, os.ErrPermission)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("ask who the caller is: %w", err)
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return fmt.Errorf("ask who the caller is: %w", err)
	}
	if failed != nil {
		return fmt.Errorf("ask who the caller is: %w", failed)
	}
	if cred.Uid != 0 {
		return fmt.Errorf("refuse a caller of uid %d, process %d: %w", cred.Uid, cred.Pid, os.ErrPermission)
	}
	return nil
}

// Serve answers until ctx ends, which is no error, or l fails. It closes l and
// every connection, and returns when all are done.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { <-ctx.Done(); l.Close() })
	room := make(chan struct{}, maxConnections)
	for {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		c, err := l.Accept()
		switch {
		case err == nil:
			all.Go(func() {
				defer func() { <-room }()
				s.serve(ctx, c)
			})
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ECONNABORTED):
			<-room
			s.log(fmt.Errorf("accept a caller: %w", err))
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		default:
			return fmt.Errorf("accept a caller: %w", err)
		}
	}
}

// serve answers one caller, request by request.
func (s *Server) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	admit := s.Admit
	if admit == nil {
		admit = Root
	}
	if err := admit(c); err != nil {
		s.log(err)
		return
	}
	in := bufio.NewReaderSize(c, maxLine)
	for {
		if c.SetDeadline(time.Now().Add(patience)) != nil {
			return
		}
		answer, err := s.answer(in)
		if answer == nil {
			if err != nil && !errors.Is(err, io.EOF) {
				s.log(err)
			}
			return
		}
		if err != nil {
			s.log(err)
		}
		if c.SetDeadline(time.Now().Add(patience)) != nil {
			return
		}
		_, failed := c.Write(answer)
		clear(answer) // it may hold keys
		if failed != nil || errors.Is(err, errLost) {
			return
		}
	}
}

// answer reads one request and does it. No answer means that there is nobody to
// answer to.
func (s *Server) answer(in *bufio.Reader) ([]byte, error) {
	r, err := readRequest(in)
	switch {
	case errors.Is(err, errRefused) || errors.Is(err, errLost):
		return appendErrno(nil, -int(errno(err))), err
	case err != nil:
		return nil, err
	case r.get:
		x, err := s.Device.Export()
		if err != nil {
			// `wg` reads an error of a get without a sign, one of a set with it.
			return appendErrno(nil, int(errno(err))), fmt.Errorf("answer a get: %w", err)
		}
		return appendErrno(appendGet(nil, x), 0), nil
	}
	if err = s.set(r.change); err != nil {
		err = fmt.Errorf("set: %w; nothing was changed", err)
	}
	return appendErrno(nil, -int(errno(err))), err
}

func (s *Server) set(c tunnel.Change) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.Permit == nil {
		return fmt.Errorf("this device takes no changes: %w", os.ErrPermission)
	}
	if err := s.Permit(c); err != nil {
		return &notPermitted{err}
	}
	err := s.Device.Apply(c)
	if s.Settled != nil {
		s.Settled(c, err)
	}
	return err
}

// notPermitted is a refusal by Permit.
type notPermitted struct{ err error }

func (e *notPermitted) Error() string { return e.err.Error() }
func (e *notPermitted) Unwrap() error { return e.err }

// errno is the number for an error: the kernel's own where it has one.
func errno(err error) syscall.Errno {
	var number syscall.Errno
	var refused *notPermitted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &number) && number != 0:
		return number
	case errors.As(err, &refused), errors.Is(err, os.ErrPermission):
		return unix.EPERM
	case errors.Is(err, tunnel.ErrClosed):
		return unix.ENODEV
	}
	return unix.EINVAL
}

func (s *Server) log(err error) {
	if s.Log != nil {
		s.Log(err)
	}
}
