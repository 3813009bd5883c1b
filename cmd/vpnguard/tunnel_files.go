package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/wgconf"
)

// confDir is where configurations of the own tunnel lie, and sockets is where
// every userspace WireGuard has its socket.
const (
	confDir = "/etc/vpnguard"
	sockets = "/run/wireguard"
)

// maxConf is larger than any file that [wgconf.Parse] takes.
const maxConf = 16<<20 + 1

// under is an absolute name in the world's root, which is / but in tests.
func (w *world) under(name string) string { return filepath.Join("/", w.root, name) }

// confFile is a tunnel's configuration.
func (w *world) confFile(name endpoint.IfName) string {
	return w.under(filepath.Join(confDir, name.String()+".conf"))
}

// tunnelTree calls f with the directory of configurations, while no other
// vpnguard changes one.
func (w *world) tunnelTree(f func(*tree) error) error {
	dir := w.under(confDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of configurations: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the directory of configurations: %w", err)
	}
	defer root.Close()
	d, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("open the directory of configurations: %w", err)
	}
	defer d.Close()
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	return f(&tree{root})
}

// exposed is what becomes of a file that others can read, though it holds a
// private key.
type exposed uint8

const (
	refuseExposed exposed = iota
	// warnExposed is for files that are only looked at, or copied to a better place.
	warnExposed
)

// readConf reads and checks a file, "-" being standard input.
func (w *world) readConf(file string, others exposed) ([]byte, wgconf.Config, error) {
	in, name := w.stdin, "standard input"
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, wgconf.Config{}, &usageError{fmt.Errorf("read the tunnel's file: %w", err), "nothing was changed"}
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, wgconf.Config{}, &usageError{fmt.Errorf("read the tunnel's file: %w", err), "nothing was changed"}
		}
		if text := wgconf.ModeWarning(file, info.Mode()); text != "" {
			if others == refuseExposed {
				return nil, wgconf.Config{}, &usageError{errors.New(text), "nothing was changed"}
			}
			if info.Mode().IsRegular() { // a pipe's mode says nothing
				w.warn([]string{text})
			}
		}
		in, name = f, file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxConf))
	if err != nil {
		return nil, wgconf.Config{}, &usageError{fmt.Errorf("read the tunnel's file %s: %w", name, err), "nothing was changed"}
	}
	c, err := wgconf.Parse(name, data)
	if err != nil {
		clear(data)
		return nil, wgconf.Config{}, &usageError{err, "nothing was changed; correct the tunnel's file"}
	}
	return data, c, nil
}

// confOf reads a tunnel's configuration, to be changed. Its errors leave
// everything as it was.
func (t *tree) confOf(name endpoint.IfName) (edit, wgconf.Config, error) {
	e, err := t.existing("/" + name.String() + ".conf")
	e.path = "/" + name.String() + ".conf"
	if errors.Is(err, os.ErrNotExist) {
		return e, wgconf.Config{}, &usageError{fmt.Errorf("tunnel %q: %s%s does not exist", name, confDir, e.path), "`vpnguard tunnel import` puts one there"}
	}
	if err != nil {
		return e, wgconf.Config{}, err
	}
	c, err := wgconf.Parse(confDir+e.path, []byte(e.text))
	if err != nil {
		return e, c, &usageError{err, "nothing was changed"}
	}
	return e, c, nil
}

// nameOf is the tunnel's name that a file's name gives.
func nameOf(file string) (endpoint.IfName, error) {
	base := filepath.Base(file)
	name, err := endpoint.ParseIfName(strings.TrimSuffix(base, filepath.Ext(base)))
	if err != nil {
		return "", &usageError{err, "--name gives the tunnel another name than its file has"}
	}
	return name, nil
}
