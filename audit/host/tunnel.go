package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab/probe"
)

// inside is where a tunnel's device is watched.
type inside struct {
	tunnel       Tunnel
	sent, coming *end
}

// checkPort is traceroute's first.
const checkPort = 33434

// mostPrefixes are asked for an answer.
const mostPrefixes = 8

// need is when a tunnel must work in this audit.
func need(g Guard) evidence.Tunnel {
	switch {
	case len(g.Tunnels) == 0 && g.State == "locked":
		return evidence.Tunnel{Need: evidence.Never, Why: "the host is locked, and no session is up"}
	case len(g.Tunnels) == 0:
		return evidence.Tunnel{Need: evidence.Never, Why: "no session is recorded, and no tunnel is known"}
	}
	return evidence.Tunnel{}
}

// check looks whether each tunnel takes packets, and whether anything comes out of it.
func check(ctx context.Context, all []inside, wait time.Duration) []evidence.Check {
	var checks []evidence.Check
	for _, in := range all {
		c := evidence.Check{What: fmt.Sprintf("packets come out of %s after some of the audit went in", in.tunnel.Name)}
		before := in.coming.keep.count()
		nonce := string(in.sent.keep.token) + probe.NewNonce()[2:12]
		err := ask(in.tunnel, nonce)
		for deadline := time.Now().Add(wait); err == nil && !c.Works && time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(poll) {
			c.Works = in.coming.keep.count() > before
		}
		c.At = time.Now()
		switch {
		case err != nil:
			c.Detail = err.Error()
		case !c.Works && !in.sent.keep.holds(nonce):
			c.Detail = "the device was not given the packets"
		case !c.Works:
			c.Detail = fmt.Sprintf("the device took the packets, and nothing came back in %s", wait)
		}
		checks = append(checks, c)
	}
	return checks
}

// ask sends through a tunnel what its far side answers: datagrams to addresses of
// documentation that expire at the first hop (RFC 792), and questions to the
// session's resolvers.
func ask(t Tunnel, nonce string) error {
	four, six := false, false
	for _, a := range t.Addresses {
		four, six = four || a.Is4(), six || a.Is6() && !a.IsLinkLocalUnicast()
	}
	var refused []error
	sent := 0
	try := func(to netip.AddrPort, hops int, data []byte) {
		if err := datagram(t.Name, to, hops, data); err != nil {
			refused = append(refused, err)
		} else {
			sent++
		}
	}
	if four {
		try(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.254"), checkPort), 1, []byte(nonce))
	}
	if six {
		try(netip.AddrPortFrom(netip.MustParseAddr("2001:db8:7667::254"), checkPort), 1, []byte(nonce))
	}
	// A split tunnel leads to few places; its far end is in one of them.
	for _, p := range t.Prefixes[:min(len(t.Prefixes), mostPrefixes)] {
		if first := p.Masked().Addr().Next(); p.Bits() > 1 && p.Contains(first) && !slices.Contains(t.Addresses, first) {
			try(netip.AddrPortFrom(first, checkPort), 0, []byte(nonce))
		}
	}
	for _, r := range t.Resolvers {
		try(netip.AddrPortFrom(r, probe.DNSPort), 0, question(nonce))
	}
	if sent == 0 {
		return fmt.Errorf("nothing could be sent into %q: %w", t.Name, errors.Join(refused...))
	}
	return nil
}

// question asks for a name that is none (RFC 6761).
func question(nonce string) []byte {
	q := []byte{0x76, 0x67, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, byte(len(nonce))}
	return bytes.Join([][]byte{q, []byte(nonce), []byte("\x07invalid\x00\x00\x01\x00\x01")}, nil)
}

// datagram goes by the device, which is chosen before the source is.
func datagram(device string, to netip.AddrPort, hops int, data []byte) error {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failed := raw.Control(func(fd uintptr) {
			if err = unix.BindToDevice(int(fd), device); err != nil || hops == 0 {
				return
			}
			if to.Addr().Is6() {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, hops)
			} else {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, hops)
			}
		})
		return errors.Join(failed, err)
	}}
	c, err := d.Dial("udp", to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write(data)
	return err
}
