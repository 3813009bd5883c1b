// Package tun opens a TUN device and moves packets through it without
// blocking: super-packets with virtio headers where the kernel has them,
// single packets where not.
package tun

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/gso"
)

// Offload is what a device leaves to whoever reads it, and takes from it. The
// zero value is nothing: every packet travels alone, with its checksum.
type Offload struct {
	// Header says that each packet has a virtio header. Without it there is
	// nothing else.
	Header bool
	TCP    bool
	UDP    bool // requires at least Linux 6.2
}

// All is what a current kernel has.
var All = Offload{Header: true, TCP: true, UDP: true}

// Device is an open TUN device. It is gone when it is closed.
type Device struct {
	fd   int
	name string
	has  Offload
	// Storage of a write, so that none is allocated.
	vec [maxParts]unix.Iovec
}

// maxParts of one vectored write: a run of packets and their header.
const maxParts = 130

// Open makes the device, which must not exist, with as much of want as the
// kernel has. It needs CAP_NET_ADMIN.
func Open(name endpoint.IfName, want Offload) (*Device, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", "/dev/net/tun", err)
	}
	d, err := setUp(fd, name.String(), want)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return d, nil
}

// Adopt takes a device over that another process opened and keeps.
func Adopt(fd int, name string, has Offload) (*Device, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, fmt.Errorf("adopt device %q: %w", name, err)
	}
	unix.CloseOnExec(fd)
	return &Device{fd: fd, name: name, has: has}, nil
}

func setUp(fd int, name string, want Offload) (*Device, error) {
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
	if want.Header {
		flags |= unix.IFF_VNET_HDR
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("device %q: %w", name, err)
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		if errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("make device %q: it exists: %w", name, os.ErrExist)
		}
		return nil, fmt.Errorf("make device %q: %w", name, err)
	}
	d := &Device{fd: fd, name: req.Name(), has: Offload{Header: want.Header}}
	if !want.Header {
		return d, nil
	}
	// Checksums are part of segmentation; without TCP there is none of UDP.
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	switch {
	case want.TCP && want.UDP && d.offload(tcp|unix.TUN_F_USO4|unix.TUN_F_USO6) == nil:
		d.has.TCP, d.has.UDP = true, true
	case want.TCP && d.offload(tcp) == nil:
		d.has.TCP = true
	default:
		if err := d.offload(0); err != nil {
			return nil, fmt.Errorf("switch the offloads of device %q off: %w", name, err)
		}
	}
	return d, nil
}

func (d *Device) offload(flags int) error { return unix.IoctlSetInt(d.fd, unix.TUNSETOFFLOAD, flags) }

// FD is the descriptor, to wait on.
func (d *Device) FD() int { return d.fd }

// Name is the device's name.
func (d *Device) Name() string { return d.name }

// Has tells what is in use.
func (d *Device) Has() Offload { return d.has }

// Close ends the device.
func (d *Device) Close() error { return unix.Close(d.fd) }

// Read reads one packet, with its virtio header if there is one. ok is false
// when nothing waits. It never blocks, so the runtime need not know of it.
func (d *Device) Read(buf []byte) (n int, ok bool, err error) {
	r, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(d.fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	switch errno {
	case 0:
		return int(r), true, nil
	case unix.EAGAIN, unix.EINTR:
		return 0, false, nil
	default:
		return 0, false, fmt.Errorf("read from device %q: %w", d.name, errno)
	}
}

// Write writes one packet, or one super-packet: first its virtio header, which
// is left out where the device has none, then its parts.
func (d *Device) Write(parts [][]byte) error {
	if !d.has.Header {
		parts = parts[1:]
	}
	n := 0
	for _, p := range parts {
		if len(p) == 0 {
			continue
		}
		d.vec[n].Base = &p[0]
		d.vec[n].SetLen(len(p))
		n++
	}
	_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(d.fd), uintptr(unsafe.Pointer(&d.vec[0])), uintptr(n))
	if errno != 0 {
		return fmt.Errorf("write to device %q: %w", d.name, errno)
	}
	return nil
}

// Buffer is how large a read can be: the header, the longest packet, and room
// for padding behind it.
const Buffer = gso.HeaderSize + 65535 + 64
