// Package sysctl reads, sets, verifies and restores the kernel knobs of IPv4
// and IPv6 that decide what a host believes and tells its neighbours.
//
// Everything acts on the network namespace of the calling thread.
package sysctl

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// All is the name that stands in place of an interface for the keys that the
// kernel combines with those of every interface.
const All = "all"

// Knob is one key of one interface, or of [All]. It is made by a constructor or
// by [ParseKnob]; the zero Knob is refused everywhere. Knobs can be compared.
type Knob struct {
	key   *key
	iface string
}

// key is one row of the table below; a Knob points into it.
type key struct {
	family, name string
	min, max     int // what may be written; the kernel itself checks few of them
}

// The combinations are those of include/linux/inetdevice.h (IN_DEV_*),
// net/ipv4/arp.c and net/ipv6/{exthdrs,ndisc}.c; the tests measure the IPv4 ones.
var keys = [...]key{
	{"ipv4", "rp_filter", 0, 2},
	{"ipv4", "arp_ignore", 0, 8},
	{"ipv4", "arp_announce", 0, 2},
	{"ipv4", "accept_redirects", 0, 1},
	{"ipv4", "accept_source_route", 0, 1},
	{"ipv4", "send_redirects", 0, 1},
	{"ipv4", "src_valid_mark", 0, 1},
	{"ipv4", "forwarding", 0, 1},
	{"ipv6", "accept_redirects", 0, 1},
	{"ipv6", "accept_source_route", -1, 1},
	{"ipv6", "accept_ra_rt_info_max_plen", 0, 128},
	{"ipv6", "disable_ipv6", 0, 1},
}

// RPFilter is reverse path filtering: 0 off, 1 strict, 2 loose. In force is the
// greater of the interface's and of All's, so that a 2 in either loosens.
func RPFilter(iface string) (Knob, error) { return newKnob("ipv4", "rp_filter", iface) }

// ARPIgnore decides which ARP requests are answered. In force is the greater of
// the interface's and of All's. Only 1, 2 and 8 keep silent about another
// interface's address; 3 to 7 answer for it as 0 does.
func ARPIgnore(iface string) (Knob, error) { return newKnob("ipv4", "arp_ignore", iface) }

// ARPAnnounce decides which sender address ARP requests show: 0 any, 1 and 2
// one of the interface. In force is the greater of the interface's and of
// All's; above 2 the kernel does as for 0.
func ARPAnnounce(iface string) (Knob, error) { return newKnob("ipv4", "arp_announce", iface) }

// AcceptRedirects is whether ICMP redirects change routes. On an interface that
// forwards both this and All's must be 1, on another either is enough. Turning
// /proc/sys/net/ipv4/ip_forward off sets All's to 1, turning it on sets it to 0.
func AcceptRedirects(iface string) (Knob, error) { return newKnob("ipv4", "accept_redirects", iface) }

// AcceptSourceRoute is whether packets with a source route option are taken. In
// force if both the interface's and All's are 1.
func AcceptSourceRoute(iface string) (Knob, error) {
	return newKnob("ipv4", "accept_source_route", iface)
}

// SendRedirects is whether a forwarding host sends ICMP redirects. In force if
// the interface's or All's is 1.
func SendRedirects(iface string) (Knob, error) { return newKnob("ipv4", "send_redirects", iface) }

// SrcValidMark is whether the reverse path is looked up with the packet's mark.
// In force if the interface's or All's is 1.
func SrcValidMark(iface string) (Knob, error) { return newKnob("ipv4", "src_valid_mark", iface) }

// Forwarding is whether packets that come in by an interface are forwarded, and
// decides how AcceptRedirects combines. All's can only be read, for writing it
// resets other keys.
func Forwarding(iface string) (Knob, error) { return newKnob("ipv4", "forwarding", iface) }

// AcceptRedirects6 is whether ICMPv6 redirects change routes; All's means nothing.
func AcceptRedirects6(iface string) (Knob, error) {
	return newKnob("ipv6", "accept_redirects", iface)
}

// AcceptSourceRoute6 is which IPv6 routing headers are taken: 1 types 0 and 2,
// 0 type 2, -1 none. In force is the smaller of the interface's and of All's.
func AcceptSourceRoute6(iface string) (Knob, error) {
	return newKnob("ipv6", "accept_source_route", iface)
}

// AcceptRouteInfo6 is the longest prefix in bits, 0 to 128, of the routes that a
// router advertisement may add (RFC 4191). All's means nothing. It exists only
// where the kernel has CONFIG_IPV6_ROUTE_INFO.
func AcceptRouteInfo6(iface string) (Knob, error) {
	return newKnob("ipv6", "accept_ra_rt_info_max_plen", iface)
}

// DisableIPv6 is whether an interface has no IPv6. Setting it removes the
// interface's IPv6 addresses and routes, and restoring it brings back only those
// that the kernel makes itself. Writing All's writes every interface's.
func DisableIPv6(iface string) (Knob, error) { return newKnob("ipv6", "disable_ipv6", iface) }

func newKnob(family, name, iface string) (Knob, error) {
	if err := checkInterface(iface); err != nil {
		return Knob{}, err
	}
	for i := range keys {
		if keys[i].family == family && keys[i].name == name {
			return Knob{key: &keys[i], iface: iface}, nil
		}
	}
	return Knob{}, fmt.Errorf("unknown knob %q of %s", name, family)
}

// checkInterface is the kernel's dev_valid_name (net/core/dev.c). "default" is
// refused as well: it governs interfaces that do not exist yet.
func checkInterface(name string) error {
	bad := name == "" || len(name) > 15 || name == "." || name == ".." || name == "default" ||
		strings.ContainsAny(name, "/: \t\n\v\f\r\x00") || strings.IndexByte(name, 0xa0) >= 0 // the kernel's isspace is Latin-1
	if bad {
		return fmt.Errorf("not an interface name: %q", name)
	}
	return nil
}

// ParseKnob returns the knob that String wrote as s, and refuses every key that
// has no constructor here.
func ParseKnob(s string) (Knob, error) {
	// An interface name may contain dots but no slash.
	part := strings.Split(s, "/")
	if len(part) != 5 || part[0] != "net" || part[2] != "conf" {
		return Knob{}, fmt.Errorf("not a knob: %q", s)
	}
	k, err := newKnob(part[1], part[4], part[3])
	if err != nil {
		return Knob{}, fmt.Errorf("not a knob: %q: %w", s, err)
	}
	return k, nil
}

// Interface returns the interface, or [All].
func (k Knob) Interface() string { return k.iface }

// Forwards reports whether it is an interface's forwarding.
func (k Knob) Forwards() bool { return k.key != nil && k.key.name == "forwarding" }

// String returns the path below /proc/sys, such as net/ipv4/conf/eth0/rp_filter.
func (k Knob) String() string {
	if k.key == nil {
		return "no knob"
	}
	return strings.Join(k.elements(), "/")
}

// MarshalText returns what String returns, for the journal.
func (k Knob) MarshalText() ([]byte, error) {
	if k.key == nil {
		return nil, errZeroKnob
	}
	return []byte(k.String()), nil
}

// UnmarshalText is [ParseKnob].
func (k *Knob) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKnob(string(text))
	return err
}

var errZeroKnob = errors.New("knob without a name")

func (k Knob) elements() []string { return []string{"net", k.key.family, "conf", k.iface, k.key.name} }

func (k Knob) path(root string) string {
	return filepath.Join(append([]string{root}, k.elements()...)...)
}

// check returns whether a hardening may write value.
func (k Knob) check(value int) error {
	switch {
	case k.key == nil:
		return errZeroKnob
	case k.key.name == "forwarding" && k.iface == All:
		return fmt.Errorf("sysctl %q is only read here", k)
	case value < k.key.min || value > k.key.max:
		return fmt.Errorf("sysctl %q: %d is outside %d to %d", k, value, k.key.min, k.key.max)
	}
	return nil
}
