package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/confine"
	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/rules"
)

// askCommand is the process that looks one name up for a supervisor, see
// startAsker: it reads what anybody on the way may have written, and has no right.
type askCommand struct {
	Sockets int    `required:"" hidden:""`
	Name    string `arg:""`
}

// askTime bounds one looking up, in which each resolver may be asked twice.
const askTime = 12 * time.Second

// Run prints the name's addresses, a line each.
func (c *askCommand) Run(ctx context.Context, w *world) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var conns []net.Conn
	for i := range c.Sockets {
		file := os.NewFile(uintptr(fdSockets+i), "resolver")
		conn, err := net.FileConn(file)
		if err != nil {
			return &usageError{fmt.Errorf("use a socket to a resolver: %w", err), "this command is started by `vpnguard tunnel up`"}
		}
		_ = file.Close()
		conns = append(conns, conn)
	}
	if _, err := confine.Apply(confine.Without{}); err != nil {
		return fmt.Errorf("confine the looking up of names: %w", err)
	}
	var next atomic.Int64
	resolver := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
		n := int(next.Add(1)) - 1
		if n >= len(conns) || network != "udp" {
			return nil, errors.New("no resolver is left to be asked by UDP")
		}
		return conns[n], nil
	}}
	// The dot at the end keeps the host's own domains out.
	addrs, err := resolver.LookupNetIP(ctx, "ip", c.Name+".")
	if err != nil {
		return err
	}
	for _, a := range addrs[:min(len(addrs), maxAddresses)] {
		fmt.Fprintln(w.stdout, a.Unmap())
	}
	return nil
}

// bootstrap are the resolvers that the tunnel's user may ask past its seal. A
// host that keeps asking in clear for its other names needs none.
func (p tunnelPlan) bootstrap() []netip.Addr {
	if p.asksInClear() || !p.named() {
		return nil
	}
	return p.settings.BootstrapDNS
}

// asksInClear reports whether the seal lets the host's own resolvers be.
func (p tunnelPlan) asksInClear() bool {
	return p.profile == rules.Split && len(p.conf.Interface.DNS) == 0
}

// named reports whether a peer's endpoint is given by name.
func (p tunnelPlan) named() bool {
	for _, peer := range p.conf.Peers {
		if isName(peer.Endpoint) {
			return true
		}
	}
	return false
}

// isName tells a name from an address and from nothing.
func isName(o endpoint.OrName) bool {
	_, known := o.Endpoint()
	return o != endpoint.OrName{} && !known
}

// ask looks a name up behind a seal, as the tunnel's user, whom the seal lets ask
// the bootstrap resolvers and nobody else.
func (p tunnelPlan) ask(ctx context.Context, name string) ([]netip.Addr, error) {
	if len(p.settings.BootstrapDNS) == 0 {
		return nil, errors.New("behind the seal nobody can be asked: bootstrap_dns names no resolver")
	}
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		// The thread loses its bounding set, and ends with this goroutine.
		runtime.LockOSThread()
		text, err := p.startAsker(ctx, name)
		answers <- answer{text, err}
	}()
	a := <-answers
	if a.err != nil {
		return nil, fmt.Errorf("ask %v for %q: %w", p.settings.BootstrapDNS, name, a.err)
	}
	return addresses(a.text)
}

// addresses reads what an asker printed.
func addresses(text []byte) (list []netip.Addr, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() && len(list) < maxAddresses {
		a, err := netip.ParseAddr(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("read what a name leads to: %w", err)
		}
		list = append(list, a)
	}
	return list, lines.Err()
}

// askSockets are made for one name: for both families of addresses, each of two
// tries and both of the servers that the library tries by turns.
const askSockets = 8

// sockets opens sockets to the bootstrap resolvers as the tunnel's user and with
// its mark, which is who the seal lets through. The thread is the caller's own.
func (p tunnelPlan) sockets() (files []*os.File, err error) {
	defer func() { _ = unix.Setfsuid(0) }()
	_ = unix.Setfsuid(int(p.uid))
	// The call does not say whether it was refused, but what there was before.
	if now, err := unix.SetfsuidRetUid(-1); err != nil || now != int(p.uid) {
		return nil, fmt.Errorf("open a socket as uid %d: this process is not let be that user", p.uid)
	}
	for i := range askSockets {
		at := p.settings.BootstrapDNS[i/2%len(p.settings.BootstrapDNS)]
		file, e := p.socketTo(netip.AddrPortFrom(at, 53))
		if e != nil { // a host of one family reaches those of that
			err = fmt.Errorf("open a socket to resolver %s: %w", at, e)
			continue
		}
		files = append(files, file)
	}
	if len(files) == 0 {
		return nil, err
	}
	return files, nil
}

func (p tunnelPlan) socketTo(at netip.AddrPort) (*os.File, error) {
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()})
	if at.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(p.setup.Mark)); err == nil {
		err = unix.Connect(fd, to)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "resolver"), nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
