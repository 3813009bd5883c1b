package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vpnguard/vpnguard/config"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/owner"
	"github.com/vpnguard/vpnguard/rules"
)

// optional marks the default configuration file, which need not exist.
const optional = "?"

// configuration reads the configuration file.
func (w *world) configuration() (config.Config, error) {
	path, may := strings.CutSuffix(w.configFile, optional)
	data, err := os.ReadFile(path)
	if may && errors.Is(err, os.ErrNotExist) {
		return config.Default(), nil
	}
	if err != nil {
		return config.Config{}, &usageError{fmt.Errorf("read configuration: %w", err), "nothing was changed"}
	}
	c, err := config.Parse(path, data)
	if err != nil {
		return config.Config{}, &usageError{err, "nothing was changed; correct the configuration"}
	}
	return c, nil
}

func settings(c config.Config) guard.Settings {
	s := guard.Settings{LAN: c.LAN, NoFence: c.Fence == config.FenceOff}
	if c.Steer == config.SteerAuto {
		s.Table = c.SteerTable
	}
	for _, a := range c.AllowIn {
		s.AllowIn = append(s.AllowIn, rules.Service{Proto: a.Proto, First: a.First, Last: a.Last})
	}
	for _, g := range c.Guests {
		s.Guests = append(s.Guests, g.String())
	}
	return s
}

// uids looks users up.
func uids(owners []config.Owner) ([]uint32, error) {
	var out []uint32
	for _, o := range owners {
		uid, ok := o.UID()
		if !ok {
			var err error
			if uid, err = owner.LookupUser(o.String()); err != nil {
				return nil, &usageError{fmt.Errorf("owner %q: %w", o, err), "give a user of this host or a uid"}
			}
		}
		out = append(out, uid)
	}
	return out, nil
}
