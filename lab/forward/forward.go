// Package forward is a daemon of the client's that asks the LAN's resolver for
// others: for guests by UDP, as container engines do, and for programs that have
// no network of their own by a unix socket, as nscd and systemd-resolved do.
package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

// Role of a laboratory's program.
const Role = "dns-forwarder"

// A Daemon says where it listens and whom it asks.
type Daemon struct {
	Listen   netip.AddrPort // by UDP, if valid
	Socket   string         // by a unix datagram socket, if not empty
	Upstream netip.AddrPort
}

// Serve is the role: it says ready, and ends with its input. Who asked by the
// socket is told why there is no answer.
func Serve(arg string) error {
	var d Daemon
	if err := json.Unmarshal([]byte(arg), &d); err != nil {
		return err
	}
	var all []net.PacketConn
	if d.Listen.IsValid() {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(d.Listen))
		if err != nil {
			return err
		}
		all = append(all, conn)
	}
	if d.Socket != "" {
		conn, err := net.ListenPacket("unixgram", d.Socket)
		if err == nil {
			err = os.Chmod(d.Socket, 0o666)
		}
		if err != nil {
			return err
		}
		all = append(all, conn)
	}
	if len(all) == 0 {
		return errors.New("a daemon that listens nowhere")
	}
	for _, conn := range all {
		go d.answer(conn)
	}
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func (d Daemon) answer(conn net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		reply, err := d.ask(buf[:n])
		if err != nil && conn.LocalAddr().Network() == "unixgram" {
			reply = []byte(err.Error())
		}
		if len(reply) > 0 && from != nil && from.String() != "" {
			_, _ = conn.WriteTo(reply, from)
		}
	}
}

// patience is below that of who asks.
const patience = 200 * time.Millisecond

func (d Daemon) ask(question []byte) ([]byte, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(d.Upstream))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(question); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	buf := make([]byte, 2048)
	n, err := conn.Read(buf)
	return buf[:n], err
}
