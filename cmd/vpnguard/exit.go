package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/guardian"
	"github.com/vpnguard/vpnguard/hook"
	"github.com/vpnguard/vpnguard/nft"
)

// Exit statuses. They are part of the command-line contract.
const (
	exitDone         = 0
	exitFailed       = 1
	exitUsage        = 2
	exitDrift        = 3
	exitNotPermitted = 4
	exitUnsupported  = 5
	exitInconclusive = 6
)

// usageError is a wrong call or configuration. Nothing was changed.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// exitStatus is an error that was told already, by the process that had it.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// fail prints an error with its hint and says how to exit.
func (w *world) fail(err error) int {
	code, hint := classify(err)
	fmt.Fprintf(w.stderr, "vpnguard: %v\n", err)
	if hint != "" {
		fmt.Fprintf(w.stderr, "vpnguard: hint: %s\n", hint)
	}
	return code
}

// classify is the one table from errors to exit statuses and hints.
func classify(err error) (code int, hint string) {
	var wrong *usageError
	var request *guard.UsageError
	var value *hook.ValueError
	var unsupported *nft.UnsupportedError
	var told *guardian.Failure
	switch {
	case errors.As(err, &told):
		return told.Code, told.Hint
	case errors.As(err, &wrong):
		return exitUsage, wrong.hint
	case errors.As(err, &request):
		return exitUsage, request.Hint
	case errors.As(err, &value):
		return exitUsage, "nothing was changed; the server or the client's configuration gave this value: refuse it there (OpenVPN: pull-filter) or correct it"
	case errors.Is(err, guard.ErrDrift):
		return exitDrift, "`vpnguard status` says what differs"
	case errors.As(err, &unsupported) && slices.ContainsFunc(unsupported.Missing, func(f nft.Feature) bool { return f.Token == "egress" }):
		return exitUnsupported, "`vpnguard doctor` shows what this kernel can enforce; with fence = \"off\" in the configuration, packet sockets and macvlan children are not stopped and all else is"
	case errors.As(err, &unsupported):
		return exitUnsupported, "`vpnguard doctor` shows what this kernel can enforce"
	case altered(err):
		return exitFailed, alteredHint
	case refused(err):
		return exitUnsupported, refusedHint
	case errors.Is(err, os.ErrPermission):
		return exitNotPermitted, "run it as root, or with CAP_NET_ADMIN and write access to /run/vpnguard"
	}
	return exitFailed, ""
}
