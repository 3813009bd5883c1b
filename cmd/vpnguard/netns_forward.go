package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
)

// maxForwarded bounds the connections that are relayed at a time: each has a
// descriptor on both sides, and whoever is inside or on this host can open them.
const maxForwarded = 256

// dialTime is how long a program inside may take to accept a connection on its
// own loopback.
const dialTime = 10 * time.Second

// checkForward refuses what the relay cannot do.
func (c *netnsUpCommand) checkForward() error {
	for _, s := range c.Forward {
		if s.Proto != endpoint.TCP || s.First != s.Last {
			return &usageError{fmt.Errorf("forward %q: only a single port of TCP can be forwarded", s), "nothing was changed"}
		}
	}
	return nil
}

// forward makes ports of the namespace's loopback reachable on the host's, for
// programs with a web interface. Nothing leaves by it: both ends are loopback.
func (k *nsKeeper) forward() error {
	slots := make(chan struct{}, maxForwarded)
	for _, s := range k.Forward {
		at := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(s.First)))
		l, err := net.Listen("tcp4", at)
		if err != nil {
			return fmt.Errorf("forward %s: %w", s, err)
		}
		k.listeners = append(k.listeners, l)
		go func() {
			for {
				slots <- struct{}{}
				conn, err := l.Accept()
				if err != nil {
					<-slots
					if errors.Is(err, net.ErrClosed) {
						return
					}
					time.Sleep(100 * time.Millisecond) // no descriptors: others end
					continue
				}
				go func() {
					defer func() { <-slots }()
					k.relay(conn, s.First)
				}()
			}
		}()
	}
	return nil
}

// unforward ends the relay's listening.
func (k *nsKeeper) unforward() {
	for _, l := range k.listeners {
		_ = l.Close()
	}
}

// relay carries one connection to the port inside, until both sides have ended.
func (k *nsKeeper) relay(outer net.Conn, port uint16) {
	defer outer.Close()
	var inner net.Conn
	err := k.space.Do(func() (err error) {
		for _, host := range []string{"127.0.0.1", "::1"} {
			if inner, err = net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))), dialTime); err == nil {
				return nil
			}
		}
		return err
	})
	if err != nil {
		return // nobody listens inside: the caller's connection ends
	}
	defer inner.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(inner, outer)
	}()
	pass(outer, inner)
	<-done
}

// pass copies one direction, and its end.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	if c, ok := to.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
}
