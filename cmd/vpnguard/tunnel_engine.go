package main

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/confine"
	"github.com/vpnguard/vpnguard/tunnel/worker"
)

// engineCommand is the process that a supervisor starts, see startEngine.
type engineCommand struct {
	Uapi bool `hidden:""` // a listener comes along
}

// Run moves packets until the supervisor hangs up.
func (c *engineCommand) Run(w *world) error {
	if err := unix.SetNonblock(fdControl, true); err != nil {
		return &usageError{fmt.Errorf("talk to the supervisor: %w", err), "this command is started by `vpnguard tunnel up`"}
	}
	p := worker.Process{
		Control: os.NewFile(fdControl, "control"), TUN: fdTUN, Confine: confined,
		Log: func(err error) { fmt.Fprintln(w.stderr, err) },
	}
	if c.Uapi {
		var err error
		file := os.NewFile(fdUAPI, "uapi")
		if p.UAPI, err = net.FileListener(file); err != nil {
			return fmt.Errorf("listen for wg: %w", err)
		}
		_ = file.Close()
	}
	return worker.Run(p)
}

func confined() (missing []string, err error) {
	parts, err := confine.Apply(confine.Without{})
	for _, m := range parts {
		missing = append(missing, m.String())
	}
	return missing, err
}
