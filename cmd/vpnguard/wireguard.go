package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/rules"
	"github.com/vpnguard/vpnguard/wireguard"
)

// ofDevice completes a request from the WireGuard device that it is about, for
// wg-quick, NetworkManager and systemd-networkd tell next to nothing. What was
// given wins; named says that endpoints were.
func ofDevice(r *guard.Request, named bool, read func(string) (wireguard.Device, error)) error {
	if r.Dev == "" {
		return nil
	}
	d, err := read(r.Dev)
	if errors.Is(err, os.ErrNotExist) {
		return nil // not WireGuard's, or not there, which others say better
	}
	if err != nil {
		if named && r.Mask != 0 {
			return nil // all that is needed was given
		}
		return &guard.StateError{Err: err, State: "nothing was changed"}
	}
	if !named {
		r.Endpoints = append(r.Endpoints, carriersOf(d, r.Endpoints)...)
	}
	given := len(r.UIDs) > 0 || r.Mask != 0 || r.Cgroup != ""
	switch {
	case r.Mask != 0 && d.Mark&r.Mask != r.Mark:
		return &usageError{fmt.Errorf("device %q sends with mark %#x, not with %#x as was said: the seal would hold its own packets back", d.Name, d.Mark, r.Mark),
			fmt.Sprintf("nothing was changed; `wg set %s fwmark %d`, or leave --mark and mark = away: it is found out", d.Name, r.Mark)}
	case !given && d.Mark != 0:
		r.Mark, r.Mask = d.Mark, ^uint32(0)
	}
	// What the peers are not allowed cannot go through the tunnel at all.
	r.Split = r.Split || len(d.Peers) > 0 && !wireguard.Full(d.Allowed())
	if split := r.Profile == rules.Split && r.Explicit || r.Split && !r.Explicit; split && len(r.Routes) == 0 {
		r.Routes = d.Allowed()
	}
	return nil
}

// carriersOf are the device's endpoints but those that are known.
func carriersOf(d wireguard.Device, known []endpoint.Endpoint) (list []endpoint.Endpoint) {
	seen := map[endpoint.Endpoint]bool{}
	for _, e := range known {
		seen[e] = true
	}
	for _, a := range d.Endpoints() {
		if e := (endpoint.Endpoint{Addr: a, Proto: endpoint.UDP}); e.IsValid() && !seen[e] {
			list = append(list, e)
		}
	}
	return list
}
