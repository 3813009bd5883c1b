package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/nft"
)

type doctorCommand struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// doctorJSON is the contract of `doctor --json`, version 1.
type doctorJSON struct {
	Version  int           `json:"version"`
	Kernel   string        `json:"kernel"`
	Features []featureJSON `json:"features"`
}

type featureJSON struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Optional bool   `json:"optional"` // all is enforced without it
	Since    string `json:"since"`
	Module   string `json:"module"`
	Problem  string `json:"problem,omitempty"`
}

// Run probes the kernel; exit 5 if it lacks something that sealing needs.
func (c *doctorCommand) Run(w *world) error {
	conn, err := nft.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	out := doctorJSON{Version: 1, Kernel: kernel()}
	var missing []nft.Feature
	for _, s := range conn.Probe() {
		if errors.Is(s.Err, os.ErrPermission) {
			return fmt.Errorf("probe the kernel: %w", s.Err)
		}
		f := featureJSON{Name: s.Name, OK: s.Err == nil, Optional: s.Optional, Since: s.Since, Module: s.Module}
		if s.Err != nil {
			f.Problem = s.Err.Error()
		}
		if s.Err != nil && !s.Optional {
			missing = append(missing, s.Feature)
		}
		out.Features = append(out.Features, f)
	}
	if c.JSON {
		if err := w.json(out); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(w.stdout, "kernel %s\n", out.Kernel)
		for _, f := range out.Features {
			fmt.Fprintf(w.stdout, "%-7s %s (since Linux %s, %s) %s\n", featureWord(f), f.Name, f.Since, f.Module, f.Problem)
		}
	}
	if len(missing) > 0 {
		return &nft.UnsupportedError{Missing: missing, Err: errors.New("not everything can be enforced here")}
	}
	return nil
}

func featureWord(f featureJSON) string {
	switch {
	case f.OK:
		return "ok"
	case f.Optional:
		return "missing, optional:"
	}
	return "MISSING"
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
