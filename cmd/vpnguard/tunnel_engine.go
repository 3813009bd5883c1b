package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/confine"
	"github.com/vpnguard/vpnguard/tunnel/worker"
)

// engineCommand is the process that a supervisor starts, see startEngine.
type engineCommand struct{}

// Run moves packets until the supervisor hangs up.
func (engineCommand) Run() error {
	if err := unix.SetNonblock(fdControl, true); err != nil {
		return &usageError{err, "this command is started by `vpnguard tunnel up`"}
	}
	return worker.Run(os.NewFile(fdControl, "control"), fdTUN, func() ([]string, error) {
		missing, err := confine.Apply(confine.Without{})
		var text []string
		for _, m := range missing {
			text = append(text, m.String())
		}
		return text, err
	})
}
