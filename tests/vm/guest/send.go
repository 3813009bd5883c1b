package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A way is one way out of the host. Each sends at most one frame's worth.
type way struct {
	name string
	send func(link net.Interface, payload []byte) error
}

var (
	public  = netip.MustParseAddr("203.0.113.80")
	public6 = netip.MustParseAddr("2001:db8:80::80")
	lan     = netip.MustParseAddr("192.168.77.1")
	server  = netip.MustParseAddr("203.0.113.5") // of a VPN, where there is one
)

var ways = []way{
	{"udp", datagram(unix.AF_INET, public, 4000)},
	{"udp6", datagram(unix.AF_INET6, public6, 4000)},
	{"lan", datagram(unix.AF_INET, lan, 53)},
	{"server", datagram(unix.AF_INET, server, 4000)},
	{"bound", bound},
	{"group6", group6},
	{"tcp", connect},
	{"ping", ping},
	{"packet", packet},
}

// send tries every way by every interface that is up, for ever. What it tried
// is in /run/sent-NAME, a line for each way: its name, how often it was tried,
// how often the kernel took it, and seconds since power-on of the first time.
func send(name string, every time.Duration) error {
	type tally struct {
		tried, taken int
		first        float64
	}
	count := make([]tally, len(ways))
	for number, reported := uint64(0), time.Now(); ; number++ {
		links, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, l := range links {
			if l.Flags&net.FlagLoopback != 0 || l.Flags&net.FlagUp == 0 {
				continue
			}
			for i, w := range ways {
				if count[i].tried == 0 {
					count[i].first = uptime()
				}
				count[i].tried++
				payload := binary.BigEndian.AppendUint64([]byte("vm-"+name+"-"+w.name+"-"), number)
				if w.send(l, payload) == nil {
					count[i].taken++
				}
			}
		}
		if time.Since(reported) > 500*time.Millisecond {
			var text strings.Builder
			for i, w := range ways {
				fmt.Fprintf(&text, "%s %d %d %.3f\n", w.name, count[i].tried, count[i].taken, count[i].first)
			}
			report(filepath.Join("/run", "sent-"+name), text.String())
			reported = time.Now()
		}
		time.Sleep(every)
	}
}

// report leaves no open file behind: at the end of the guest's life its file
// systems must be free.
func report(file, text string) {
	if os.WriteFile(file+".new", []byte(text), 0o644) == nil {
		_ = os.Rename(file+".new", file)
	}
}

func uptime() float64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return -1
	}
	return float64(t.Nano()) / 1e9
}

// on runs f with a socket that never waits.
func on(family, kind, proto int, f func(fd int) error) error {
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return err
	}
	return errors.Join(f(fd), unix.Close(fd))
}

func sockaddr(to netip.Addr, port int) unix.Sockaddr {
	if to.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: to.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: to.As16()}
}

func datagram(family int, to netip.Addr, port int) func(net.Interface, []byte) error {
	return func(_ net.Interface, payload []byte) error {
		return on(family, unix.SOCK_DGRAM, 0, func(fd int) error { return unix.Sendto(fd, payload, 0, sockaddr(to, port)) })
	}
}

// bound needs no address and no route: a broadcast by the interface itself.
func bound(l net.Interface, payload []byte) error {
	return on(unix.AF_INET, unix.SOCK_DGRAM, 0, func(fd int) error {
		return errors.Join(unix.BindToDevice(fd, l.Name), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
			unix.Sendto(fd, payload, 0, sockaddr(netip.MustParseAddr("255.255.255.255"), 4001)))
	})
}

func group6(l net.Interface, payload []byte) error {
	return on(unix.AF_INET6, unix.SOCK_DGRAM, 0, func(fd int) error {
		return unix.Sendto(fd, payload, 0, &unix.SockaddrInet6{Port: 4001, ZoneId: uint32(l.Index), Addr: netip.MustParseAddr("ff02::1").As16()})
	})
}

func connect(net.Interface, []byte) error {
	return on(unix.AF_INET, unix.SOCK_STREAM, 0, func(fd int) error {
		if err := unix.Connect(fd, sockaddr(public, 443)); !errors.Is(err, unix.EINPROGRESS) {
			return err
		}
		return nil
	})
}

func ping(_ net.Interface, payload []byte) error {
	echo := append([]byte{8, 0, 0, 0, 0x77, 0x77, 0, 0}, payload...) // the checksum is wrong; the wire does not mind
	return on(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP, func(fd int) error {
		return unix.Sendto(fd, echo, 0, sockaddr(public, 0))
	})
}

// packet needs nothing but the interface, and passes every inet hook.
func packet(l net.Interface, payload []byte) error {
	const experimental = 0x88b5 // IEEE 802, for local use
	frame := bytes.Join([][]byte{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, l.HardwareAddr, binary.BigEndian.AppendUint16(nil, experimental), payload}, nil)
	return on(unix.AF_PACKET, unix.SOCK_RAW, 0, func(fd int) error {
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: l.Index})
	})
}
