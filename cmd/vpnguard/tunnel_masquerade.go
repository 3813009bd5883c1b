package main

import (
	"errors"

	"github.com/vpnguard/vpnguard/rules"
)

// masqueradeOf is what a server does for its peers: those of its own networks go
// out with the host's address, and shadow neither its port nor a service that is
// allowed in.
func masqueradeOf(p tunnelPlan) (*rules.Masquerade, error) {
	if !serves(p.conf) || p.profile != rules.Split {
		return nil, errors.New("masquerade: the tunnel is no split server")
	}
	m := rules.Masquerade{Device: p.setup.Name, ListenPort: p.conf.Interface.ListenPort}
	for _, a := range p.conf.Interface.Addresses {
		if a.Bits() < a.Addr().BitLen() {
			m.Inside = append(m.Inside, a.Masked())
		}
	}
	if len(m.Inside) == 0 {
		return nil, errors.New("masquerade: no Address names a network")
	}
	for _, s := range p.settings.AllowIn {
		for port := int(s.First); port <= int(s.Last); port++ {
			m.Services = append(m.Services, uint16(port))
		}
	}
	return &m, m.Validate()
}
