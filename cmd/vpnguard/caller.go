package main

import (
	"os"
	"slices"

	"github.com/vpnguard/vpnguard/hook"
	"github.com/vpnguard/vpnguard/owner"
)

// wrappers run hooks for others: a client's parent is looked for above them.
var wrappers = []string{"sh", "dash", "bash", "busybox", "run-parts", "vpnc-script", "env"}

// maxAncestors bounds the way up to the client: a client, its shell, its
// script, and a wrapper of the user's around each.
const maxAncestors = 6

// callers are the processes that called, the nearest first.
func callers() []owner.Relative {
	list, err := owner.Ancestors(os.Getpid(), maxAncestors, "")
	if err != nil {
		return nil
	}
	return list
}

// parent is what is known of the process that called.
func parent() hook.Parent {
	for _, p := range callers() {
		if !slices.Contains(wrappers, p.Comm) {
			return hook.Parent{Comm: p.Comm}
		}
	}
	return hook.Parent{}
}

// clientPID is the client's process id: the one that it told, if that is one
// of this host's processes; the caller that has the client's name; of OpenVPN
// the calling process. It is 0 for a client that has no process of its own.
func clientPID(call hook.Call) int {
	if _, err := owner.Discover(call.PID, ""); call.PID > 0 && err == nil {
		return call.PID
	}
	if call.Comm != "" {
		for _, p := range callers() {
			if p.Comm == call.Comm {
				return p.PID
			}
		}
	}
	if call.Client == "openvpn" {
		return os.Getppid()
	}
	return 0
}
