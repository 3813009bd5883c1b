package wgconf

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// interfaceSettings are the names that [Interface] may have.
var interfaceSettings = []setting{
	{name: "PrivateKey", set: func(p *parser, at int, v string) (err error) {
		k, err := key.ParsePrivate(v)
		if err != nil || k.IsZero() {
			return p.fail(at, "PrivateKey is no key: %v", key.ErrFormat)
		}
		p.config.Interface.PrivateKey = k
		return nil
	}},
	{name: "ListenPort", set: func(p *parser, at int, v string) error {
		n, err := number(v, 65535)
		if err != nil {
			return p.fail(at, "ListenPort %q is not a port from 0 to 65535", v)
		}
		p.config.Interface.ListenPort = uint16(n)
		return nil
	}},
	{name: "FwMark", set: func(p *parser, at int, v string) error {
		if v == "off" {
			return nil
		}
		digits, base := v, 10
		if hex, ok := strings.CutPrefix(v, "0x"); ok {
			digits, base = hex, 16
		}
		n, err := strconv.ParseUint(digits, base, 32)
		if err != nil || digits[0] == '+' {
			return p.fail(at, "FwMark %q is neither off nor a number from 0 to 0xffffffff", v)
		}
		p.config.Interface.FwMark = uint32(n)
		return nil
	}},
	{name: "Address", repeat: true, set: func(p *parser, at int, v string) error {
		return p.list(at, v, func(at int, item string) error {
			a, wrong := prefix(item)
			if wrong == "" && (a.Addr().IsUnspecified() || a.Addr().IsMulticast() || a.Addr().IsLoopback()) {
				wrong = "cannot be an interface's own"
			}
			if wrong != "" {
				return p.fail(at, "Address %q %s", item, wrong)
			}
			if slices.ContainsFunc(p.config.Interface.Addresses, func(o netip.Prefix) bool { return o.Addr() == a.Addr() }) {
				return p.fail(at, "Address %s was given already", a.Addr())
			}
			p.config.Interface.Addresses = append(p.config.Interface.Addresses, a)
			return nil
		})
	}},
	{name: "DNS", repeat: true, set: func(p *parser, at int, v string) error {
		return p.list(at, v, func(at int, item string) error {
			if _, err := netip.ParseAddr(item); err == nil {
				a, err := endpoint.ParseAddr(item)
				if err != nil {
					return p.fail(at, "DNS %q: %v", item, err)
				}
				p.config.Interface.DNS = append(p.config.Interface.DNS, a)
				return nil
			}
			name, err := endpoint.ParseName(item)
			if err != nil {
				return p.fail(at, "DNS %q is neither an address nor a domain: %v", item, err)
			}
			p.config.Interface.Domains = append(p.config.Interface.Domains, name)
			return nil
		})
	}},
	{name: "MTU", set: func(p *parser, at int, v string) error {
		n, err := number(v, maxMTU)
		if err != nil || n < minMTU {
			return p.fail(at, "MTU %q is not a number from %d to %d", v, minMTU, maxMTU)
		}
		p.config.Interface.MTU, p.mtu = n, p.line
		return nil
	}},
	{name: "Table", set: func(p *parser, at int, v string) error {
		switch v {
		case "auto":
			return nil
		case "off":
			p.config.Interface.Table.Off = true
			return nil
		}
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil || n == 0 || v[0] == '+' {
			return p.fail(at, "Table %q is neither off nor auto nor a number from 1 to 4294967295", v)
		}
		p.config.Interface.Table.Number = uint32(n)
		return nil
	}},
	{name: "SaveConfig", set: func(p *parser, at int, v string) error {
		if v != "true" && v != "false" {
			return p.fail(at, "SaveConfig %q is neither true nor false", v)
		}
		p.config.Interface.SaveConfig = v == "true"
		return nil
	}},
	hook(PreUp), hook(PostUp), hook(PreDown), hook(PostDown),
}

func hook(m Moment) setting {
	return setting{name: m.String(), repeat: true, set: func(p *parser, _ int, v string) error {
		p.config.Interface.Hooks = append(p.config.Interface.Hooks, Hook{m, v, p.line})
		return nil
	}}
}

// peerSettings are the names that [Peer] may have.
var peerSettings = []setting{
	{name: "PublicKey", set: func(p *parser, at int, v string) error {
		k, err := key.ParsePublic(v)
		if err != nil || k.IsZero() {
			return p.fail(at, "PublicKey is no key: %v", key.ErrFormat)
		}
		if line := p.publics[k]; line != 0 {
			return p.fail(at, "the peer with this PublicKey was given in line %d already", line)
		}
		p.publics[k] = p.line
		p.last().PublicKey = k
		return nil
	}},
	{name: "PresharedKey", set: func(p *parser, at int, v string) error {
		k, err := key.ParsePreshared(v)
		if err != nil {
			return p.fail(at, "PresharedKey is no key: %v", key.ErrFormat)
		}
		p.last().PresharedKey = k
		return nil
	}},
	{name: "AllowedIPs", repeat: true, empty: true, set: func(p *parser, at int, v string) error {
		if v == "" {
			return nil
		}
		return p.list(at, v, func(at int, item string) error {
			a, wrong := prefix(item)
			if wrong != "" {
				return p.fail(at, "AllowedIPs %q %s", item, wrong)
			}
			a = a.Masked()
			// wg gives it to the last who asks; the file's author hardly meant that.
			if line := p.allowed[a]; line != 0 {
				return p.fail(at, "AllowedIPs %s was given in line %d already, and only one peer can have it", a, line)
			}
			p.allowed[a] = p.line
			p.last().AllowedIPs = append(p.last().AllowedIPs, a)
			return nil
		})
	}},
	{name: "Endpoint", set: func(p *parser, at int, v string) error {
		e, err := orName(v)
		if err != nil {
			return p.fail(at, "Endpoint %q is not host:port or [IPv6]:port: %v", v, reason(err))
		}
		p.last().Endpoint = e
		return nil
	}},
	{name: "PersistentKeepalive", set: func(p *parser, at int, v string) error {
		if v == "off" {
			return nil
		}
		n, err := number(v, 65535)
		if err != nil {
			return p.fail(at, "PersistentKeepalive %q is neither off nor seconds from 0 to 65535", v)
		}
		p.last().Keepalive = time.Duration(n) * time.Second
		return nil
	}},
}

func (p *parser) last() *Peer { return &p.config.Peers[len(p.config.Peers)-1] }

// The least MTU is that of IPv4's own minimum for every host; the most leaves
// room for the outer headers.
const (
	minMTU = 576
	maxMTU = 65535 - 80
)

// number reads decimal digits without sign or leading zero.
func number(s string, most int) (int, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || s[0] == '+' || len(s) > 1 && s[0] == '0' || n > uint64(most) {
		return 0, errors.New("not a number in range")
	}
	return int(n), nil
}

// reason is the innermost error: the outer ones repeat the value.
func reason(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
