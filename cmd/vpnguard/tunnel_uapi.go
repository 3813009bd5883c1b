package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// listenUAPI opens the socket by which `wg show` finds a device. Only root gets
// at it, for it tells the private key. One that a killed supervisor left makes
// room: the device is ours, so that nobody else serves there.
func listenUAPI(name string) (*net.UnixListener, error) {
	if err := os.MkdirAll(sockets, 0o700); err != nil {
		return nil, fmt.Errorf("make a place for the socket of wg: %w", err)
	}
	path := filepath.Join(sockets, name+".sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("make room for the socket of wg: %w", err)
	}
	before := unix.Umask(0o177)
	defer unix.Umask(before)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open the socket of wg: %w", err)
	}
	return l, nil
}
