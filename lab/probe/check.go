package probe

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// An Errand is an honest program's work: it wants answers, not leaks.
type Errand struct {
	// Network is udp or tcp.
	Network string
	To      netip.AddrPort
	// Bytes to transfer each way by the bulk responder; 0 asks for an echo.
	Bytes int64
}

// Do does an errand. An echo returns the address that the responder saw.
func Do(e Errand) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if e.Bytes > 0 {
		return netip.Addr{}, transfer(ctx, e.To, e.Bytes)
	}
	return echo(ctx, e)
}

func dial(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	conn, err := d.DialContext(ctx, network, to.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %q by %s: %w", to, network, err)
	}
	deadline, _ := ctx.Deadline()
	return conn, conn.SetDeadline(deadline)
}

func echo(ctx context.Context, e Errand) (netip.Addr, error) {
	conn, err := dial(ctx, e.Network, e.To)
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	nonce := NewNonce()
	var reply string
	for range 5 { // a datagram may be lost while the tunnel learns its way
		if _, err = io.WriteString(conn, nonce); err != nil {
			continue
		}
		if e.Network == "udp" {
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		}
		if reply, err = readEcho(conn, nonce); err == nil || e.Network != "udp" {
			break
		}
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask %q for an echo by %s: %w", e.To, e.Network, err)
	}
	peer, err := netip.ParseAddrPort(reply)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read the echo of %q by %s: %w", e.To, e.Network, err)
	}
	return peer.Addr().Unmap(), nil
}

// readEcho reads until the nonce has come back and returns the line before it.
func readEcho(conn net.Conn, nonce string) (string, error) {
	var got []byte
	buf := make([]byte, 2048)
	for {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if line, rest, found := strings.Cut(string(got), "\n"); found && rest == nonce {
			return line, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// transfer gets and puts n bytes and compares hashes on both ways.
func transfer(ctx context.Context, to netip.AddrPort, n int64) error {
	want := sha256.New()
	if _, err := io.CopyN(want, Pattern(), n); err != nil {
		return err
	}
	for _, verb := range []string{"get", "put"} {
		if err := transferOne(ctx, to, verb, n, fmt.Sprintf("%x", want.Sum(nil))); err != nil {
			return fmt.Errorf("%s %d bytes at %q: %w", verb, n, to, err)
		}
	}
	return nil
}

func transferOne(ctx context.Context, to netip.AddrPort, verb string, n int64, want string) error {
	conn, err := dial(ctx, "tcp", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s %d\n", verb, n); err != nil {
		return err
	}
	var got string
	if verb == "get" {
		sum := sha256.New()
		if _, err := io.CopyN(sum, conn, n); err != nil {
			return err
		}
		got = fmt.Sprintf("%x", sum.Sum(nil))
	} else {
		if _, err := io.CopyN(conn, Pattern(), n); err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			return err
		}
		got = strings.TrimSpace(line)
	}
	if got != want {
		return fmt.Errorf("hash %s, want %s", got, want)
	}
	return nil
}
