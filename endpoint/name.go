package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// OrName is an endpoint whose host may still be a name. The zero value is no
// endpoint.
type OrName struct {
	Host  string // an address as netip writes it, or a name as ParseName returns it
	Port  uint16 // 1..65535
	Proto Proto
}

// ParseOrName reads what [Parse] reads, and "vpn.example.net:1194/udp".
func ParseOrName(s string) (OrName, error) {
	var o OrName
	err := o.UnmarshalText([]byte(s))
	return o, err
}

// Endpoint returns the endpoint if the host is an address; false means that a
// name must be resolved first.
func (o OrName) Endpoint() (Endpoint, bool) {
	addr, err := netip.ParseAddr(o.Host)
	if err != nil {
		return Endpoint{}, false
	}
	e := Endpoint{netip.AddrPortFrom(addr, o.Port), o.Proto}
	return e, e.IsValid()
}

// String returns the form that [ParseOrName] reads, and "" for the zero value.
func (o OrName) String() string {
	if o == (OrName{}) {
		return ""
	}
	return net.JoinHostPort(o.Host, strconv.Itoa(int(o.Port))) + "/" + o.Proto.String()
}

// MarshalText returns o as [OrName.String] writes it.
func (o OrName) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText is [ParseOrName]. An error leaves o as it was.
func (o *OrName) UnmarshalText(text []byte) error {
	host, port, proto, err := split(string(text))
	if err != nil {
		return fmt.Errorf("endpoint %q: %w", text, err)
	}
	if host, err = ParseHost(host); err != nil {
		return fmt.Errorf("endpoint %q: %w", text, err)
	}
	*o = OrName{host, port, proto}
	return nil
}

// ParseHost reads an address or a host name and returns its one form.
func ParseHost(s string) (string, error) {
	if _, err := netip.ParseAddr(s); err == nil {
		addr, err := ParseAddr(s)
		if err != nil {
			return "", err
		}
		return addr.String(), nil
	}
	return ParseName(s)
}

// ParseName reads a domain name: labels of letters, digits, hyphen and
// underscore, 1 to 63 bytes each, no hyphen at either end, 253 bytes in all
// (RFC 1035 section 2.3.4, RFC 1123 section 2.1; underscore as in RFC 2782).
// It returns lower case without the trailing dot.
func ParseName(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" {
		return "", errors.New("empty domain name")
	}
	if len(s) > 253 {
		return "", errors.New("domain name longer than 253 bytes")
	}
	name := []byte(s)
	for i, c := range name {
		switch {
		case 'A' <= c && c <= 'Z':
			name[i] = c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return "", fmt.Errorf("domain name holds byte 0x%02x", c)
		}
	}
	labels := strings.Split(string(name), ".")
	for _, l := range labels {
		switch {
		case l == "":
			return "", errors.New("domain name has an empty label")
		case len(l) > 63:
			return "", errors.New("domain name has a label longer than 63 bytes")
		case l[0] == '-' || l[len(l)-1] == '-':
			return "", errors.New("domain name has a label with a hyphen at its end")
		}
	}
	// getaddrinfo takes "127.1" and "0x7f.1" for addresses (inet_aton).
	if numeric(labels[len(labels)-1]) {
		return "", errors.New("domain name looks like an address")
	}
	return string(name), nil
}

func numeric(label string) bool {
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		label, digits = hex, digits+"abcdef"
	}
	return strings.Trim(label, digits) == ""
}
