package main

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/link"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/state"
	"github.com/vpnguard/vpnguard/sysctl"
)

// host opens this host's parts. The caller closes them by the function.
func (w *world) host() (*guard.Guard, func(), error) {
	filter, err := nft.Open()
	if err != nil {
		return nil, nil, &guard.StateError{Err: err, State: "nothing was changed"}
	}
	h, err := netlink.NewHandle()
	if err != nil {
		_ = filter.Close()
		return nil, nil, &guard.StateError{Err: fmt.Errorf("open route socket: %w", err), State: "nothing was changed"}
	}
	netns, err := networkNamespace()
	if err != nil {
		h.Close()
		_ = filter.Close()
		return nil, nil, &guard.StateError{Err: err, State: "nothing was changed"}
	}
	g := &guard.Guard{
		NetNS:    netns,
		Filter:   filter,
		Knobs:    knobs{sysctl.FS{}},
		Journal:  state.New(w.stateDir),
		Kept:     state.New(w.keptDir),
		Links:    links{h},
		Clients:  clients{},
		Resolver: net.DefaultResolver,
		Now:      time.Now,
	}
	return g, func() {
		h.Close()
		_ = filter.Close()
	}, nil
}

// networkNamespace is the inode number of the one that this process is in.
func networkNamespace() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		return 0, fmt.Errorf("find the own network namespace: %w", err)
	}
	return st.Ino, nil
}

type knobs struct{ sysctl.FS }

func (k knobs) Plan(wires, tunnels []string) ([]sysctl.Change, []sysctl.Skipped, error) {
	return sysctl.Plan(k.FS, wires, tunnels)
}

type links struct{ handle *netlink.Handle }

func (l links) List() ([]link.Link, error) { return link.List(l.handle) }

func (l links) RouteTo(addr netip.Addr, mark uint32) (int, error) {
	return link.RouteTo(l.handle, addr, mark)
}
