package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Owner is a user by name or by uid, as given: nothing is resolved here. The
// zero value is nobody.
type Owner string

// UID returns the uid if the owner is given by one: 0..4294967294.
func (o Owner) UID() (uid uint32, ok bool) {
	n, err := strconv.ParseUint(string(o), 10, 32)
	// The highest is (uid_t)-1, "no change" to the kernel.
	return uint32(n), err == nil && n != 1<<32-1
}

// String returns the name or uid.
func (o Owner) String() string { return string(o) }

// UnmarshalText reads a uid in decimal, or a user name: 1 to 64 letters,
// digits and "_.@-", not beginning with hyphen or dot, not digits alone. An
// error leaves o as it was.
func (o *Owner) UnmarshalText(text []byte) error {
	s := string(text)
	if strings.Trim(s, "0123456789") == "" && s != "" {
		uid, ok := Owner(s).UID()
		if !ok || strconv.FormatUint(uint64(uid), 10) != s {
			return fmt.Errorf("owner %q: a uid is a number from 0 to 4294967294", s)
		}
		*o = Owner(s)
		return nil
	}
	if err := checkUser(s); err != nil {
		return fmt.Errorf("owner %q: %w", s, err)
	}
	*o = Owner(s)
	return nil
}

func checkUser(s string) error {
	if s == "" || len(s) > 64 {
		return errors.New("a user name has 1 to 64 bytes")
	}
	if s[0] == '-' || s[0] == '.' {
		return errors.New("a user name does not begin with hyphen or dot")
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("_.@-", c) >= 0:
		default:
			return fmt.Errorf("user name holds byte 0x%02x", c)
		}
	}
	return nil
}

// Cgroup is the path of a cgroup v2 directory below the cgroup2 mount, with a
// leading slash. The zero value is none.
type Cgroup string

// String returns the path.
func (g Cgroup) String() string { return string(g) }

// UnmarshalText reads an absolute path in its one form, ASCII without space,
// quote and star (a wildcard to nft). The root is refused: every process is
// below it. An error leaves g as it was.
func (g *Cgroup) UnmarshalText(text []byte) error {
	s := string(text)
	if err := checkCgroup(s); err != nil {
		return fmt.Errorf("cgroup %q: %w", s, err)
	}
	*g = Cgroup(s)
	return nil
}

func checkCgroup(s string) error {
	rest, ok := strings.CutPrefix(s, "/")
	switch {
	case !ok:
		return errors.New("not an absolute path, want one like /system.slice/openvpn.service")
	case rest == "":
		return errors.New("every process is below the root")
	case len(s) > 4095:
		return errors.New("longer than 4095 bytes")
	}
	elements := strings.Split(rest, "/")
	if len(elements) > 255 {
		return errors.New("deeper than 255 levels, which is all that nft compares")
	}
	for _, e := range elements {
		switch {
		case e == "" || e == "." || e == "..":
			return fmt.Errorf("path element %q", e)
		case len(e) > 255:
			return errors.New("path element longer than 255 bytes")
		}
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '"' || c == '*' {
			return fmt.Errorf("path holds byte 0x%02x", c)
		}
	}
	return nil
}
