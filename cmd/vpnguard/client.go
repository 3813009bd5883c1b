package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/owner"
	"github.com/vpnguard/vpnguard/rules"
)

// clients looks into client processes by /proc.
type clients struct{}

func (clients) Alive(pid int, start uint64) bool { return owner.Alive(pid, start, "") }

func (clients) Cgroup(path string) (rules.Cgroup, error) {
	id, level, err := owner.CgroupID(path, "")
	if err != nil {
		return rules.Cgroup{}, err
	}
	for path != "" && path[0] == '/' {
		path = path[1:]
	}
	return rules.Cgroup{Path: path, Level: uint32(level), ID: id}, nil
}

func (clients) Owner(pid int, endpoints []endpoint.Endpoint) (guard.Found, error) {
	p, err := owner.Discover(pid, "")
	if err != nil {
		return guard.Found{}, err
	}
	e := owner.Evidence{Process: p}
	found := guard.Found{Start: p.StartTime}
	var remotes []netip.AddrPort
	for _, end := range endpoints {
		remotes = append(remotes, end.Addr)
	}
	if e.Found, err = owner.Sockets(pid, "", remotes...); err != nil {
		found.Warnings = append(found.Warnings, err.Error())
	}
	if p.Comm == "openvpn" {
		settings, err := owner.ParseOpenVPN(p.Args, p.Cwd, os.ReadFile)
		if err != nil {
			found.Warnings = append(found.Warnings, err.Error())
		} else {
			e.Settings = &settings
			found.Mark = settings.Mark
		}
	}
	if found.UIDs, err = owner.UIDs(e); err != nil {
		found.Warnings = append(found.Warnings, err.Error())
	}
	for _, s := range e.Found.Sockets {
		if e.Found.Match == owner.MatchFile && s.MarkKnown && s.Mark != 0 && slices.Contains(remotes, s.Remote) {
			found.Mark = s.Mark
		}
	}
	for _, weak := range owner.Warnings(e) {
		if text := warningText(weak); text != "" {
			found.Warnings = append(found.Warnings, text)
		}
	}
	return found, nil
}

// warningText says what a weak owner means to a person; empty: nothing here.
func warningText(w owner.Warning) string {
	switch w.Weakness {
	case owner.RootShared:
		return "the owner is uid 0, which many programs have: --cgroup names the client alone"
	case owner.UserShared:
		return fmt.Sprintf("the owner is uid %d, which other services have as well: a user of its own is exact", w.UID)
	case owner.DropAhead:
		return fmt.Sprintf("the client will drop to user %s (uid %d), which then may send to the endpoint too; its own `down` will not be permitted to open", w.User, w.UID)
	case owner.DropUnresolved:
		return fmt.Sprintf("the client will drop to user %s, who cannot be looked up: its reconnect will be blocked: %v", w.User, w.Err)
	case owner.MarkSpoofable:
		return fmt.Sprintf("mark %#x can be set by any holder of CAP_NET_RAW; it counts only together with the endpoint", w.Mark)
	case owner.KernelWireGuard, owner.KernelOpenVPN:
		return "the tunnel is in the kernel: only a mark names its owner"
	case owner.OtherNetNS:
		return "the client runs in another network namespace"
	case owner.SettingsIncomplete:
		return fmt.Sprintf("part of the client's configuration could not be read: %v", w.Err)
	case owner.WeaknessUnnamed, owner.MarkUnreadable, owner.KernelOpenVPNLikely, owner.SocketsUnsure, owner.NoCgroup:
	}
	return ""
}
