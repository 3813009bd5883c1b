package main

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/guard"
	"github.com/vpnguard/vpnguard/hook"
	"github.com/vpnguard/vpnguard/nft"
	"github.com/vpnguard/vpnguard/wireguard"
)

func TestEveryKindOfErrorHasItsExitStatus(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("do: %w", &guard.StateError{Err: err, State: "closed"}) }
	for _, c := range []struct {
		err  error
		want int
	}{
		{errors.New("anything"), exitFailed},
		{unix.EIO, exitFailed},
		{&usageError{errors.New("x"), ""}, exitUsage},
		{&guard.UsageError{Err: os.ErrPermission}, exitUsage}, // what was asked for decides, not why
		{&hook.ValueError{Name: "dev", Value: "x y", Why: "no"}, exitUsage},
		{guard.ErrDrift, exitDrift},
		{os.ErrPermission, exitNotPermitted},
		{unix.EPERM, exitNotPermitted},
		{unix.EACCES, exitNotPermitted},
		{&nft.UnsupportedError{Missing: []nft.Feature{{Name: "x"}}, Err: unix.EOPNOTSUPP}, exitUnsupported},
		{wireguard.ErrUnsupported, exitUnsupported},
	} {
		for _, err := range []error{c.err, wrap(c.err)} {
			if got, _ := classify(err); got != c.want {
				t.Errorf("%v: exit %d, want %d", err, got, c.want)
			}
		}
	}
}
