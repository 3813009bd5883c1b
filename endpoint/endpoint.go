// Package endpoint holds the plain values that every part of vpnguard speaks
// of: a VPN server's endpoint, its name, a protocol, an interface name. Each
// has one text form and one strict parser, shared by hooks, configuration and
// command line. It does no I/O and imports nothing of ours.
package endpoint

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Proto is the transport protocol of a carrier. The zero value is no protocol
// and valid nowhere.
type Proto uint8

// The protocols that a carrier can have.
const (
	UDP Proto = iota + 1
	TCP
)

// String returns "udp", "tcp" or "invalid".
func (p Proto) String() string {
	switch p {
	case UDP:
		return "udp"
	case TCP:
		return "tcp"
	default:
		return "invalid"
	}
}

// MarshalText returns what [Proto.UnmarshalText] reads.
func (p Proto) MarshalText() ([]byte, error) {
	if p != UDP && p != TCP {
		return nil, errors.New("no protocol")
	}
	return []byte(p.String()), nil
}

// UnmarshalText accepts "udp" and "tcp", nothing else.
func (p *Proto) UnmarshalText(text []byte) error {
	switch string(text) {
	case "udp":
		*p = UDP
	case "tcp":
		*p = TCP
	default:
		return fmt.Errorf("protocol %q: neither udp nor tcp", text)
	}
	return nil
}

// Endpoint is a VPN server's address, port and protocol. The address is
// unicast, not loopback, without zone, and never IPv4-mapped. The zero value
// is no endpoint.
type Endpoint struct {
	Addr  netip.AddrPort
	Proto Proto
}

// Parse reads "203.0.113.10:1194/udp" or "[2001:db8::1]:443/tcp". Port and
// protocol are required.
func Parse(s string) (Endpoint, error) {
	var e Endpoint
	err := e.UnmarshalText([]byte(s))
	return e, err
}

// IsValid reports whether e could have been returned by [Parse].
func (e Endpoint) IsValid() bool {
	return CheckAddr(e.Addr.Addr()) == nil && !e.Addr.Addr().Is4In6() &&
		e.Addr.Port() != 0 && (e.Proto == UDP || e.Proto == TCP)
}

// String returns the form that [Parse] reads, and "" for the zero value.
func (e Endpoint) String() string {
	if e == (Endpoint{}) {
		return ""
	}
	return e.Addr.String() + "/" + e.Proto.String()
}

// MarshalText returns e as [Endpoint.String] writes it.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText is [Parse]. An error leaves e as it was.
func (e *Endpoint) UnmarshalText(text []byte) error {
	host, port, proto, err := split(string(text))
	if err != nil {
		return fmt.Errorf("endpoint %q: %w", text, err)
	}
	addr, err := ParseAddr(host)
	if err != nil {
		return fmt.Errorf("endpoint %q: %w", text, err)
	}
	*e = Endpoint{netip.AddrPortFrom(addr, port), proto}
	return nil
}

// split takes host:port/proto apart. Brackets mark an IPv6 address and are
// required for one: without them the port is a guess.
func split(s string) (host string, port uint16, proto Proto, err error) {
	s, name, ok := strings.Cut(s, "/")
	if !ok {
		return "", 0, 0, errors.New("no protocol, want host:port/udp or host:port/tcp")
	}
	if err := proto.UnmarshalText([]byte(name)); err != nil {
		return "", 0, 0, err
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return "", 0, 0, errors.New("no port")
	}
	if port, err = ParsePort(s[i+1:]); err != nil {
		return "", 0, 0, err
	}
	host = s[:i]
	inner, bracket := strings.CutPrefix(host, "[")
	if !bracket {
		if strings.Contains(host, ":") {
			return "", 0, 0, errors.New("an IPv6 address needs brackets")
		}
		return host, port, proto, nil
	}
	inner, closed := strings.CutSuffix(inner, "]")
	if !closed || !strings.Contains(inner, ":") {
		return "", 0, 0, errors.New("brackets are for IPv6 addresses")
	}
	return inner, port, proto, nil
}
