// Package wireguard reads and sets WireGuard devices: the kernel's by netlink, and
// those of userspace programs by the sockets that wg(8) uses. It makes and removes
// devices of the kernel.
//
// Private and preshared keys go in by types that print nothing, and never come out.
package wireguard

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Device is a device as it is now. It holds no secret.
type Device struct {
	Name   string
	Kernel bool       // false: of a program, which sends as its user
	Public key.Public // zero: it has no key
	Port   uint16     // that it listens on; 0: none yet
	Mark   uint32     // of what it sends by the wire; 0: none
	Peers  []Peer
}

// Peer is one peer of a device.
type Peer struct {
	Public        key.Public
	Preshared     bool           // there is a preshared key
	Endpoint      netip.AddrPort // not valid: not known
	Allowed       []netip.Prefix
	LastHandshake time.Time // zero: none yet
	RxBytes       uint64
	TxBytes       uint64
	Keepalive     time.Duration // 0: off
}

// Endpoints are where the device sends to, each once.
func (d Device) Endpoints() (list []netip.AddrPort) {
	seen := map[netip.AddrPort]bool{}
	for _, p := range d.Peers {
		if p.Endpoint.IsValid() && !seen[p.Endpoint] {
			seen[p.Endpoint] = true
			list = append(list, p.Endpoint)
		}
	}
	return list
}

// Allowed is what the device carries to any of its peers.
func (d Device) Allowed() (list []netip.Prefix) {
	for _, p := range d.Peers {
		list = append(list, p.Allowed...)
	}
	return list
}

// Read tells how a device is. One that is not there, or is no WireGuard, is
// [os.ErrNotExist]. Of the kernel's own it needs CAP_NET_ADMIN.
func Read(name string) (Device, error) {
	kernel, is, err := kind(name)
	if err != nil {
		return Device{}, fmt.Errorf("read device %q: %w", name, err)
	}
	if !is {
		return Device{}, fmt.Errorf("read device %q: it is no WireGuard: %w", name, os.ErrNotExist)
	}
	var d Device
	err = with(func(c *wgctrl.Client) error {
		got, err := c.Device(name)
		if err != nil {
			return err
		}
		d = taken(got)
		if d.Kernel != kernel {
			return fmt.Errorf("it is another one by now: %w", os.ErrNotExist)
		}
		return nil
	})
	if err != nil {
		return Device{}, fmt.Errorf("read device %q: %w", name, err)
	}
	return d, nil
}

// patience is how long a program may take to answer for its device: a client
// stands still while its hook asks.
var patience = 5 * time.Second

// with calls f with a client. The library waits for a program's answer without
// end; what is late goes on alone and is not looked at any more.
func with(f func(*wgctrl.Client) error) error {
	done := make(chan error, 1)
	go func() {
		c, err := wgctrl.New()
		if err != nil {
			done <- err
			return
		}
		done <- errors.Join(f(c), c.Close())
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return fmt.Errorf("no answer within %v: %w", patience, os.ErrDeadlineExceeded)
	}
}

// sockets is where userspace devices have theirs.
const sockets = "/run/wireguard"

// kind tells whether a device is WireGuard's, without any right: a socket that may
// not be looked for belongs to somebody else.
func kind(name string) (kernel, is bool, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return false, false, err
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	var none netlink.LinkNotFoundError
	switch {
	case errors.As(err, &none):
		return false, false, nil
	case err != nil:
		return false, false, err
	case link.Type() == kindName:
		return true, true, nil
	}
	info, err := os.Lstat(filepath.Join(sockets, name+".sock"))
	return false, err == nil && info.Mode().Type() == os.ModeSocket, nil
}

// kindName is the kernel's name for the kind of its devices.
const kindName = "wireguard"

// taken is what is kept of the library's value, whose keys are erased.
func taken(from *wgtypes.Device) Device {
	d := Device{Name: from.Name, Kernel: from.Type == wgtypes.LinuxKernel, Port: uint16(from.ListenPort), Mark: uint32(from.FirewallMark)}
	if from.PrivateKey != (wgtypes.Key{}) {
		d.Public = key.Public(from.PublicKey)
	}
	for i := range from.Peers {
		p := &from.Peers[i]
		peer := Peer{
			Public: key.Public(p.PublicKey), Preshared: p.PresharedKey != wgtypes.Key{},
			RxBytes: uint64(p.ReceiveBytes), TxBytes: uint64(p.TransmitBytes), Keepalive: p.PersistentKeepaliveInterval,
		}
		if p.Endpoint != nil {
			at := p.Endpoint.AddrPort()
			peer.Endpoint = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
		}
		if at := p.LastHandshakeTime; !at.IsZero() && at.Unix() != 0 {
			peer.LastHandshake = at
		}
		for _, a := range p.AllowedIPs {
			addr, ok := netip.AddrFromSlice(a.IP)
			if bits, _ := a.Mask.Size(); ok {
				peer.Allowed = append(peer.Allowed, netip.PrefixFrom(addr.Unmap(), bits))
			}
		}
		clear(p.PresharedKey[:])
		d.Peers = append(d.Peers, peer)
	}
	clear(from.PrivateKey[:])
	return d
}
