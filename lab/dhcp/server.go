package dhcp

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Roles of a laboratory's programs.
const (
	ServerRole = "dhcp-server"
	ClientRole = "dhcp-client"
)

// A Lease is all that a server gives, to whoever asks.
type Lease struct {
	Interface string
	Own       netip.Addr // the server's
	Client    netip.Prefix
	Options   map[byte][]byte
}

// Serve is the server's role: it says ready, and ends with its input.
func Serve(arg string) error {
	var l Lease
	if err := json.Unmarshal([]byte(arg), &l); err != nil {
		return err
	}
	conf := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) {
			err = unix.BindToDevice(int(fd), l.Interface)
			if err == nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
			}
		})
		if e != nil {
			return e
		}
		return err
	}}
	conn, err := conf.ListenPacket(context.Background(), "udp4", ":67")
	if err != nil {
		return fmt.Errorf("serve dhcp on %q: %w", l.Interface, err)
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if m, ok := l.answer(buf[:n]); ok {
				_, _ = conn.WriteTo(m.bytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 68})
			}
		}
	}()
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func (l Lease) answer(b []byte) (message, bool) {
	m, err := parse(b)
	if err != nil || m.op != 1 || len(m.options[optKind]) != 1 {
		return m, false
	}
	kind := byte(offer)
	switch m.options[optKind][0] {
	case discover:
	case request:
		kind = ack
	default:
		return m, false
	}
	mask := net.CIDRMask(l.Client.Bits(), 32)
	a := message{op: 2, xid: m.xid, hw: m.hw, yours: l.Client.Addr(), options: map[byte][]byte{
		optKind: {kind}, optServer: Addresses(l.Own), optMask: mask, optLease: seconds(3600),
	}}
	for code, value := range l.Options {
		a.options[code] = value
	}
	return a, true
}
