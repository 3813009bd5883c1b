package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/guardian"
)

// sealedJSON is the contract of `tunnel up --json`, version 1.
type sealedJSON struct {
	Version   int      `json:"version"`
	State     string   `json:"state"`
	Tunnel    string   `json:"tunnel"`
	Profile   string   `json:"profile"`
	Endpoints []string `json:"endpoints"`
	Owner     string   `json:"owner"`
	After     string   `json:"after"` // from the start to the first handshake
}

// report says that the tunnel is sealed, and lets go of whoever waits for that.
func (s *supervisor) report(res guard.Result, ends []endpoint.Endpoint) error {
	s.w.warn(res.Warnings)
	after := time.Since(s.since).Round(time.Millisecond)
	if s.JSON {
		out := sealedJSON{Version: 1, State: string(res.State), Tunnel: s.plan.setup.Name, Profile: s.plan.profile.String(), Owner: ownerText(res.Session.Owner), After: after.String()}
		for _, e := range ends {
			out.Endpoints = append(out.Endpoints, e.String())
		}
		if err := s.w.json(out); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.w.stderr, "vpnguard: %s: tunnel %s (profile %s), %d endpoints, owner %s, after %v\n",
		res.State, s.plan.setup.Name, s.plan.profile, len(ends), ownerText(res.Session.Owner), after)
	guardian.Notify("READY=1")
	if !s.Ready {
		return nil
	}
	return s.leave()
}

// leave takes the caller's terminal away from this process and tells the caller.
func (s *supervisor) leave() error {
	return leave(filepath.Join(s.w.stateDir, "tunnel"), s.plan.setup.Name+".log")
}

// leave lets go of the terminal, puts what is printed from now on into a log, and
// tells whoever waits for this process by [background].
func leave(dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a place for the log: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	defer log.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd, to := range map[int]*os.File{0: null, 1: null, 2: log} {
		if err := unix.Dup3(int(to.Fd()), fd, 0); err != nil {
			return fmt.Errorf("let go of the terminal: %w", err)
		}
	}
	if _, err := unix.Write(fdReady, []byte{1}); err != nil {
		return fmt.Errorf("tell who started this process: %w", err)
	}
	return unix.Close(fdReady)
}

// maxLine bounds what another process may have kept of a line that does not end, in bytes.
const maxLine = 16 << 10

// lines hands over what is written, line by line; a line that is too long in parts.
type lines struct {
	rest []byte
	say  func(string)
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if len(line) > maxLine {
			line, rest = l.rest[:maxLine], l.rest[maxLine:]
		} else if !whole {
			return len(b), nil
		}
		l.say(string(line))
		l.rest = rest
	}
}
