package tunnel

import (
	"errors"

	"github.com/vpnguard/vpnguard/tunnel/tun"
	"github.com/vpnguard/vpnguard/tunnel/udp"
)

// Part is a part of the data path that a kernel may lack. The tunnel works
// without it, slower.
type Part struct {
	Name   string
	Since  string // the first kernel that has it
	Module string // what the kernel's configuration calls it
	Err    error  // nil: it is there and used
}

var (
	errLacks  = errors.New("this kernel lacks it: the tunnel does that work itself, slower")
	errBroken = errors.New("this kernel damages runs of datagrams (7.0 to 7.1.4 do): it is not used")
)

// Probe tells which parts this kernel has. It changes nothing on the host. An
// error means that the kernel could not be asked; [os.ErrPermission], that it
// takes more privilege.
func Probe() ([]Part, error) {
	t, err := tun.Probe()
	if err != nil {
		return nil, err
	}
	u, err := udp.Probe()
	if err != nil {
		return nil, err
	}
	return parts(t, u, segmentBroken()), nil
}

func parts(t tun.Offload, u udp.Offload, broken bool) []Part {
	all := []Part{
		{Name: "TUN packets with a virtio header (IFF_VNET_HDR)", Since: "2.6.27", Module: "CONFIG_TUN", Err: lacks(t.Header)},
		{Name: "TCP super-packets of a TUN device (TUN_F_TSO4, TUN_F_TSO6)", Since: "2.6.27", Module: "CONFIG_TUN", Err: lacks(t.TCP)},
		{Name: "UDP super-packets of a TUN device (TUN_F_USO4, TUN_F_USO6)", Since: "6.2", Module: "CONFIG_TUN", Err: lacks(t.UDP)},
		{Name: "UDP segmentation offload (UDP_SEGMENT)", Since: "4.18", Module: "CONFIG_INET", Err: lacks(u.Segment)},
		{Name: "UDP receive offload (UDP_GRO)", Since: "5.0", Module: "CONFIG_INET", Err: lacks(u.Gather)},
	}
	if broken && u.Segment {
		all[3].Err = errBroken
	}
	return all
}

func lacks(has bool) error {
	if has {
		return nil
	}
	return errLacks
}
