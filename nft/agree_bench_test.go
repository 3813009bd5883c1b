package nft_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/rules"
)

// bench is a host in this one namespace, and what looks at its cable:
//
//	guest: gst1 ---- gst0    host    vg0 ---- vg1: the wire, looked at and sent from
//	172.31.0.2  172.31.0.1   tun0    192.168.77.2
//	                       10.8.0.2  2001:db8:77::2
//
// All that it does, it does in one thread on one processor: then a frame has
// crossed a veth pair before a later one, and a canary behind a packet proves
// that the packet does not come.
type bench struct {
	t        *testing.T
	wire     int // packet socket on vg1
	out      int // the same on vg0
	guest    int // the same on gst1
	tun      int
	macs     map[string][]byte
	canaries uint32
}

const (
	canaryEther = 0x888e // EAPOL: every policy lets it pass
	ethPAll     = 3      // ETH_P_ALL
)

func newBench(t *testing.T) *bench {
	t.Helper()
	pin(t)
	b := &bench{t: t, macs: map[string][]byte{}}
	b.configure()
	b.wire, b.out, b.guest = b.packetSocket("vg1", ethPAll), b.packetSocket("vg0", 0), b.packetSocket("gst1", 0)
	return b
}

// pin keeps the goroutine on one thread and that on one processor. A subtest has
// a goroutine of its own.
func pin(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the thread is left with another uid and one processor
	var one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if one.IsSet(cpu) {
			one.Zero()
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) configure() {
	t := b.t
	for _, knob := range []string{"ipv4/conf/all/rp_filter", "ipv4/conf/default/rp_filter", "ipv6/conf/default/accept_dad", "ipv6/conf/default/router_solicitations"} {
		b.set(knob, "0")
	}
	run(t, "ip", "link", "add", "vg0", "type", "veth", "peer", "name", "vg1")
	run(t, "ip", "link", "add", "gst0", "type", "veth", "peer", "name", "gst1")
	t.Cleanup(func() {
		run(t, "ip", "link", "del", "vg0")
		run(t, "ip", "link", "del", "gst0")
	})
	for _, name := range []string{"vg1", "gst0", "gst1"} {
		b.set("ipv6/conf/"+name+"/disable_ipv6", "1")
	}
	b.tun = b.openTun("tun0")
	for _, args := range [][]string{
		{"link", "set", "vg0", "up"}, {"link", "set", "vg1", "up"}, {"link", "set", "gst0", "up"}, {"link", "set", "gst1", "up"}, {"link", "set", "tun0", "up"},
		{"addr", "add", "192.168.77.2/24", "dev", "vg0"}, {"addr", "add", "2001:db8:77::2/64", "dev", "vg0", "nodad"},
		{"addr", "add", "172.31.0.1/24", "dev", "gst0"},
		{"addr", "add", "10.8.0.2/24", "dev", "tun0"}, {"addr", "add", "fd00:8::2/64", "dev", "tun0", "nodad"},
	} {
		run(t, "ip", args...)
	}
	b.carrier("vg0", "vg1", "gst0", "gst1")
	for _, name := range []string{"vg0", "vg1", "gst0", "gst1"} {
		i, err := net.InterfaceByName(name)
		if err != nil {
			t.Fatal(err)
		}
		b.macs[name] = i.HardwareAddr
	}
	for _, a := range []string{"192.168.77.1", "192.168.77.9", "2001:db8:77::1"} {
		run(t, "ip", "neigh", "add", a, "lladdr", net.HardwareAddr(b.macs["vg1"]).String(), "dev", "vg0", "nud", "permanent")
	}
	run(t, "ip", "neigh", "add", "172.31.0.2", "lladdr", net.HardwareAddr(b.macs["gst1"]).String(), "dev", "gst0", "nud", "permanent")
	run(t, "ip", "route", "add", "default", "via", "192.168.77.1", "dev", "vg0")
	run(t, "ip", "-6", "route", "add", "default", "via", "2001:db8:77::1", "dev", "vg0")
	run(t, "ip", "route", "add", "10.66.0.0/16", "dev", "tun0")
	b.set("ipv4/ip_forward", "1")
	b.set("ipv4/conf/vg0/rp_filter", "0")
}

// carrier waits until the kernel has noticed that both ends of a cable are
// up: what is sent before is lost.
func (b *bench) carrier(names ...string) {
	b.t.Helper()
	for _, name := range names {
		deadline := time.Now().Add(5 * time.Second)
		for !strings.Contains(run(b.t, "ip", "-o", "link", "show", "dev", name), " state UP ") {
			if time.Now().After(deadline) {
				b.t.Fatalf("%s has no carrier", name)
			}
		}
	}
}

func (b *bench) set(knob, value string) {
	b.t.Helper()
	if err := os.WriteFile("/proc/sys/net/"+knob, []byte(value), 0); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) keep(fd int, err error) int {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func (b *bench) openTun(name string) int {
	b.t.Helper()
	fd := b.keep(unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0))
	req, err := unix.NewIfreq(name)
	if err != nil {
		b.t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		b.t.Fatal(err)
	}
	return fd
}

func (b *bench) packetSocket(name string, proto uint16) int {
	b.t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		b.t.Fatal(err)
	}
	fd := b.keep(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto<<8 | proto>>8, Ifindex: i.Index}); err != nil {
		b.t.Fatal(err)
	}
	return fd
}

// crossed reads what came out of the wire up to a canary that is sent now.
func (b *bench) crossed() [][]byte {
	b.t.Helper()
	b.canaries++
	canary := binary.BigEndian.AppendUint32(make([]byte, 46), b.canaries)
	if _, err := unix.Write(b.out, ethernet(b.macs["vg1"], b.macs["vg0"], canaryEther, canary)); err != nil {
		b.t.Fatalf("send a canary: %v", err)
	}
	var frames [][]byte
	buf := make([]byte, 1<<16)
	for {
		fds := []unix.PollFd{{Fd: int32(b.wire), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, 5000); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil || n == 0 {
			b.t.Fatalf("the canary does not come: %v", err)
		}
		n, from, err := unix.Recvfrom(b.wire, buf, 0)
		if err != nil {
			b.t.Fatal(err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		frame := bytes.Clone(buf[:n])
		if bytes.HasSuffix(frame, canary) {
			return frames
		}
		frames = append(frames, frame)
	}
}

// tunnelled reads what the tunnel's process got.
func (b *bench) tunnelled() [][]byte { return b.drain(b.tun) }

func (b *bench) drain(fd int) [][]byte {
	b.t.Helper()
	var got [][]byte
	buf := make([]byte, 1<<16)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			return got
		}
		if err != nil && !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EHOSTUNREACH) {
			b.t.Fatalf("read: %v", err)
		}
		if err == nil {
			got = append(got, bytes.Clone(buf[:n]))
		}
	}
}

// socket is one of the program that sends p.
func (b *bench) socket(p rules.Packet, kind, proto int) int {
	b.t.Helper()
	family := unix.AF_INET
	if p.Dst.Is6() {
		family = unix.AF_INET6
	}
	// The owner of a packet is the file system uid of the thread that made its socket.
	setfsuid(b.t, p.UID)
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	setfsuid(b.t, 0)
	if err != nil {
		b.t.Fatalf("socket: %v", err)
	}
	check := func(what string, err error) {
		b.t.Helper()
		if err != nil {
			b.t.Fatalf("%s: %v", what, err)
		}
	}
	if p.Out != "" && p.Out != "lo" {
		check("bind to device", unix.BindToDevice(fd, p.Out))
	}
	if p.Mark != 0 {
		check("mark", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(p.Mark)))
	}
	if proto != unix.IPPROTO_RAW {
		check("bind", unix.Bind(fd, sockaddr(p.Src, p.SrcPort)))
	}
	return fd
}

func setfsuid(t *testing.T, uid uint32) {
	t.Helper()
	if _, err := unix.SetfsuidRetUid(int(uid)); err != nil {
		t.Fatalf("setfsuid: %v", err)
	}
	if now, err := unix.SetfsuidRetUid(-1); err != nil || now != int(uid) {
		t.Fatalf("the file system uid is %d, not %d: %v", now, uid, err)
	}
}

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: int(port), Addr: a.As16()}
}
