package endpoint

import (
	"errors"
	"fmt"
	"strings"
)

// IfName is the name of a network interface. The zero value is no interface.
type IfName string

// ParseIfName reads an interface name: 1 to 15 bytes, neither "." nor "..", no
// slash, colon or white space (Linux, dev_valid_name). Also refused: a leading
// hyphen, which a program takes for an option; '*', a wildcard to nft; '%',
// which the kernel takes for a template; quotes, backslash, control characters
// and all that is not ASCII.
func ParseIfName(s string) (IfName, error) {
	switch {
	case s == "":
		return "", errors.New("empty interface name")
	case len(s) > 15:
		return "", fmt.Errorf("interface name %.80q: longer than 15 bytes", s)
	case s == "." || s == "..":
		return "", fmt.Errorf("interface name %q: reserved", s)
	case s[0] == '-':
		return "", fmt.Errorf("interface name %q: begins with a hyphen", s)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte("/:*%\"'`\\", c) >= 0 {
			return "", fmt.Errorf("interface name %q: holds byte 0x%02x", s, c)
		}
	}
	return IfName(s), nil
}

// String returns the name.
func (n IfName) String() string { return string(n) }

// UnmarshalText is [ParseIfName]. An error leaves n as it was.
func (n *IfName) UnmarshalText(text []byte) error {
	name, err := ParseIfName(string(text))
	if err != nil {
		return err
	}
	*n = name
	return nil
}
