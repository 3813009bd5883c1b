package tun

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/internal/apart"
)

// Probe tells what this kernel does for a TUN device. It makes one in a network
// namespace of its own, which vanishes with it: the host's network is not
// touched. It needs CAP_SYS_ADMIN and CAP_NET_ADMIN.
func Probe() (has Offload, err error) {
	name, err := endpoint.ParseIfName("probe")
	if err != nil {
		return has, err
	}
	err = apart.Do(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace to probe in: %w", err)
		}
		d, err := Open(name, All)
		if err != nil {
			return err
		}
		has = d.Has()
		return d.Close()
	})
	return has, err
}
