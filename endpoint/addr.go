package endpoint

import (
	"errors"
	"net/netip"
	"strconv"
)

// ParseAddr reads an address that a packet can be sent to; an IPv4-mapped one
// comes back as IPv4. See [CheckAddr] for what is refused.
func ParseAddr(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		// netip repeats the whole input, which may be hostile and long.
		return netip.Addr{}, errors.New("not an IP address")
	}
	if err := CheckAddr(addr); err != nil {
		return netip.Addr{}, err
	}
	return addr.Unmap(), nil
}

// CheckAddr refuses an address that no server and no resolver can have:
// invalid, with a zone, unspecified, loopback, multicast or broadcast.
func CheckAddr(addr netip.Addr) error {
	plain := addr.Unmap()
	switch {
	case !addr.IsValid():
		return errors.New("not an IP address")
	case addr.Zone() != "":
		return errors.New("an address with a zone names no host")
	case plain.IsUnspecified():
		return errors.New("the unspecified address names no host")
	case plain.IsLoopback():
		return errors.New("a loopback address is never on the wire")
	case plain.IsMulticast():
		return errors.New("a multicast address names no host")
	case plain == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return errors.New("the broadcast address names no host")
	}
	return nil
}

// ParsePort reads a port, 1 to 65535, in decimal without sign or leading zero.
func ParsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' {
		return 0, errors.New("port is not a number from 1 to 65535")
	}
	return uint16(n), nil
}
