package hook

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vpnguard/vpnguard/endpoint"
)

// readOpenVPN takes the variables of openvpn(8), "Environmental Variables".
func readOpenVPN(r *reader, in input, c *Call) {
	c.Dev = readDev(r, in, c.Event)
	c.PID, _ = read(r, "daemon_pid", intIn(1, 1<<22))
	c.ConfigFile, _ = read(r, "config", parsePath)
	c.MTU, _ = read(r, "tun_mtu", intIn(68, 65535))
	c.Peer = readPeer(r, c.Event)
	c.Remotes, c.Proxies = readRemotes(r)
	c.Addresses = readAddresses(r)
	readNames(r, c)
	c.Routes = readRoutes(r, c.Peer.Addr())
	c.Redirect = readRedirect(r, c.Routes)
}

func readDev(r *reader, in input, event Event) string {
	name, ok := read(r, "dev", endpoint.ParseIfName)
	argDev, _, _ := openvpnArgs(in.args)
	switch {
	case !ok && !r.env.has("dev"):
		name = endpoint.IfName(argDev)
		// At `ipchange` there is no device yet.
		if name == "" && event != EventEndpoint {
			r.fail("dev", "", "not set")
		}
	case ok && argDev != "" && argDev != name.String():
		r.fail("dev", name.String(), "another device than in the arguments")
	}
	return name.String()
}

// readPeer takes trusted_ip (IPv4) or trusted_ip6. Both at once contradict
// each other: neither is taken.
func readPeer(r *reader, event Event) netip.AddrPort {
	name := "trusted_ip"
	if r.env.has("trusted_ip6") {
		if r.env.has(name) {
			r.fail("trusted_ip6", r.env["trusted_ip6"], "trusted_ip is set too")
			return netip.AddrPort{}
		}
		name = "trusted_ip6"
	}
	if !r.env.has(name) {
		if r.env.has("trusted_port") || event == EventEndpoint {
			r.fail(name, "", "not set")
		}
		return netip.AddrPort{}
	}
	addr, okAddr := read(r, name, endpoint.ParseAddr)
	port, okPort := need(r, "trusted_port", name, endpoint.ParsePort)
	if okAddr && addr.Is6() && name == "trusted_ip" {
		r.fail(name, r.env[name], "not an IPv4 address")
		okAddr = false
	}
	if !okAddr || !okPort {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, port)
}

// readAddresses takes the tunnel's own addresses. With a peer instead of a
// netmask (net30, p2p) the link holds nobody else.
func readAddresses(r *reader) []netip.Prefix {
	list := readPrefix(r, nil, "ifconfig_local", parseIPv4, "ifconfig_netmask", parseLinkMask)
	return readPrefix(r, list, "ifconfig_ipv6_local", parseIPv6, "ifconfig_ipv6_netbits", intIn(1, 128))
}

// readPrefix adds an address with its network's length; without a length it is
// alone.
func readPrefix(r *reader, list []netip.Prefix, name string, parse func(string) (netip.Addr, error), length string, parseLength func(string) (int, error)) []netip.Prefix {
	addr, ok := read(r, name, parse)
	if !ok {
		return list
	}
	bits := addr.BitLen()
	if r.env.has(length) {
		if bits, ok = read(r, length, parseLength); !ok {
			return list
		}
	}
	return append(list, netip.PrefixFrom(addr, bits))
}

// single is the link that holds nobody else.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func parseIPv4(s string) (netip.Addr, error) {
	addr, err := endpoint.ParseAddr(s)
	if err == nil && !addr.Is4() {
		err = errors.New("not an IPv4 address")
	}
	return addr, err
}

func parseIPv6(s string) (netip.Addr, error) {
	addr, err := endpoint.ParseAddr(s)
	if err == nil && !addr.Is6() {
		err = errors.New("not an IPv6 address")
	}
	return addr, err
}

// parseMask returns the length of a netmask in dotted form.
func parseMask(s string) (int, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is4() {
		return 0, errors.New("not a netmask")
	}
	b := addr.As4()
	mask := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	bits := 0
	for ; mask&(1<<31) != 0; mask <<= 1 {
		bits++
	}
	if mask != 0 {
		return 0, errors.New("netmask has a hole")
	}
	return bits, nil
}

// parseLinkMask refuses the empty mask: it would make every host a neighbour.
func parseLinkMask(s string) (int, error) {
	bits, err := parseMask(s)
	if err == nil && bits == 0 {
		err = errors.New("a link of all addresses")
	}
	return bits, err
}

// parsePath takes a file name of this host: any text without control
// characters, up to PATH_MAX (4096 bytes with the terminating zero).
func parsePath(s string) (string, error) {
	if s == "" || len(s) > 4095 || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", errors.New("not a file name")
	}
	return s, nil
}

func intIn(low, high int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || strconv.Itoa(n) != s || n < low || n > high {
			return 0, errors.New("not a number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high))
		}
		return n, nil
	}
}
