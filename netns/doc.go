// Package netns keeps protected network namespaces and runs programs in them. A
// namespace has loopback and a tunnel's device and nothing else: the process
// that has the tunnel's sockets is outside, so that without the tunnel a program
// inside has no connectivity at all, whatever it does.
package netns

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
)

// PinDir is where namespaces are pinned, as `ip netns` does it.
const PinDir = "/run/netns"

// Name is the name of a namespace: a file name without surprises, for it is part
// of paths and of mount options.
type Name string

var nameForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`) })

// ParseName accepts 1 to 63 letters, digits, dots, dashes and underscores; the
// first is a letter or a digit.
func ParseName(s string) (Name, error) {
	if s == "" {
		return "", errors.New("the empty name, for a tunnel in the host's own namespace, is not supported")
	}
	if !nameForm().MatchString(s) {
		return "", fmt.Errorf("name %q of a namespace: want 1 to 63 letters, digits, dots, dashes and underscores, a letter or digit first", s)
	}
	return Name(s), nil
}

// UnmarshalText is ParseName.
func (n *Name) UnmarshalText(text []byte) (err error) {
	*n, err = ParseName(string(text))
	return err
}

func (n Name) String() string { return string(n) }
