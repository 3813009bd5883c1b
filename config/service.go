package config

import (
	"fmt"
	"strings"

	"github.com/vpnguard/vpnguard/endpoint"
)

// Service is an inbound service of this host. The zero value is none.
type Service struct {
	Proto       endpoint.Proto
	First, Last uint16 // ports, both included, 1..65535, First <= Last
}

// String returns "tcp/22" or "udp/5000-5010", and "" for the zero value.
func (s Service) String() string {
	switch {
	case s == Service{}:
		return ""
	case s.First == s.Last:
		return fmt.Sprintf("%v/%d", s.Proto, s.First)
	default:
		return fmt.Sprintf("%v/%d-%d", s.Proto, s.First, s.Last)
	}
}

// UnmarshalText reads PROTO/PORT or PROTO/FIRST-LAST. An error leaves s as it
// was.
func (s *Service) UnmarshalText(text []byte) error {
	var parsed Service
	proto, ports, ok := strings.Cut(string(text), "/")
	if !ok {
		return fmt.Errorf("service %q: want tcp/22 or udp/5000-5010", text)
	}
	err := parsed.Proto.UnmarshalText([]byte(proto))
	if err != nil {
		return fmt.Errorf("service %q: %w", text, err)
	}
	first, last, ranged := strings.Cut(ports, "-")
	if !ranged {
		last = first
	}
	if parsed.First, err = endpoint.ParsePort(first); err == nil {
		parsed.Last, err = endpoint.ParsePort(last)
	}
	if err != nil {
		return fmt.Errorf("service %q: %w", text, err)
	}
	if parsed.First > parsed.Last {
		return fmt.Errorf("service %q: the range ends before it begins", text)
	}
	*s = parsed
	return nil
}
