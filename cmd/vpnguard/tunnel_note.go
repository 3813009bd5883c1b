package main

import (
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/keeper"
	"github.com/vpnguard/vpnguard/tunnel/tun"
)

// resize gives the device the MTU that the engine found. What it says is not
// more than a wish: it is the part that the internet talks to.
func (s *supervisor) resize(mtu int) {
	if mtu < minMTU || mtu > engine.MaxMTU {
		s.log.Warn("the engine asks for an MTU that no device has", "tunnel", s.plan.setup.Name, "mtu", mtu)
		return
	}
	if err := tun.SetMTU(s.plan.setup.Name, mtu); err != nil {
		s.log.Warn("the device does not get its MTU", "tunnel", s.plan.setup.Name, "err", err)
		return
	}
	s.mtu = mtu
}

// minMTU is the least that an IPv4 host has (RFC 1122, section 3.3.3).
const minMTU = 576

// note does what is worth a line, and little else.
func (s *supervisor) note(e keeper.Event) {
	switch {
	case e.MTU != 0:
		s.resize(e.MTU)
	case e.Refused != nil:
		s.log.Warn("the engine changed what it may not change; the next one does not get that", "tunnel", s.plan.setup.Name, "err", e.Refused)
	case e.Ended != nil:
		s.log.Warn("the engine ended; the host stays closed and another one follows", "tunnel", s.plan.setup.Name, "err", e.Ended)
	case e.Ready != nil:
		for _, m := range e.Ready.Missing {
			s.log.Warn("the engine is less confined than it could be", "missing", m)
		}
	}
}
