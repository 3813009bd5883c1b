package wgconf

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Bounds of a file. Real ones with a thousand peers have 300 kB.
const (
	maxSize  = 16 << 20
	maxPeers = 1 << 16
)

// parser is the state between lines.
type parser struct {
	file    string
	config  Config
	section section
	line    int
	text    string // of the line
	started struct {
		line, column int // of the section's header
	}
	given   map[string]int // keys of this section -> line
	seen    bool           // an [Interface]
	publics map[key.Public]int
	allowed map[netip.Prefix]int
	mtu     int // line of MTU
}

type section uint8

const (
	none section = iota
	ours
	peer
)

// Parse reads data; file is its name in errors, which are all of type [*Error].
func Parse(file string, data []byte) (Config, error) {
	p := &parser{file: file, publics: map[key.Public]int{}, allowed: map[netip.Prefix]int{}}
	if len(data) > maxSize {
		return Config{}, p.fail(0, "the file is larger than %d MiB", maxSize>>20)
	}
	for line := range strings.Lines(string(data)) {
		p.line++
		p.text = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if err := p.next(); err != nil {
			return Config{}, err
		}
	}
	if err := p.end(); err != nil {
		return Config{}, err
	}
	if !p.seen {
		return Config{}, &Error{file, max(p.line, 1), 1, "the file has no [Interface] section"}
	}
	return p.config, p.whole()
}

// keyLike is what may be a key that was put in the wrong place.
var keyLike = regexp.MustCompile(`[A-Za-z0-9+/]{40,}=?`)

// fail makes an error at byte offset at of the line.
func (p *parser) fail(at int, format string, args ...any) error {
	return &Error{p.file, max(p.line, 1), utf8.RuneCountInString(p.text[:min(at, len(p.text))]) + 1, keyLike.ReplaceAllString(fmt.Sprintf(format, args...), "(not shown)")}
}

func (p *parser) next() error {
	for i, r := range p.text {
		if r == utf8.RuneError || r < ' ' && r != '\t' || r == 0x7f {
			return p.fail(i, "the file holds a byte that is no text")
		}
	}
	code, _, _ := strings.Cut(p.text, "#")
	start, body := trim(code, 0)
	switch {
	case body == "":
		return nil
	case body[0] == '[':
		return p.header(start, body)
	}
	name, value, ok := strings.Cut(body, "=")
	if !ok {
		// The line is not repeated: it may be a key that lost its name.
		return p.fail(start, "the line is neither a section nor name = value")
	}
	at, value := trim(value, start+len(name)+1)
	return p.pair(start, strings.TrimRight(name, " \t"), at, value)
}

// trim cuts blanks off both ends and moves the offset along.
func trim(s string, at int) (int, string) {
	left := strings.TrimLeft(s, " \t")
	return at + len(s) - len(left), strings.TrimRight(left, " \t")
}

func (p *parser) header(at int, body string) error {
	if err := p.end(); err != nil {
		return err
	}
	switch strings.ToLower(body) {
	case "[interface]":
		if p.seen {
			return p.fail(at, "there is a second [Interface] section")
		}
		p.section, p.seen = ours, true
	case "[peer]":
		if len(p.config.Peers) == maxPeers {
			return p.fail(at, "there are more than %d peers", maxPeers)
		}
		p.section = peer
		p.config.Peers = append(p.config.Peers, Peer{Line: p.line})
	default:
		return p.fail(at, "a section is [Interface] or [Peer]")
	}
	p.given = map[string]int{}
	p.started.line, p.started.column = p.line, utf8.RuneCountInString(p.text[:at])+1
	return nil
}

// end checks what a section must have.
func (p *parser) end() error {
	missing := ""
	switch {
	case p.section == ours && p.given["PrivateKey"] == 0:
		missing = "[Interface] has no PrivateKey"
	case p.section == peer && p.given["PublicKey"] == 0:
		missing = "the peer has no PublicKey"
	}
	if missing == "" {
		return nil
	}
	return &Error{p.file, p.started.line, p.started.column, missing}
}

// whole checks what only the whole file tells.
func (p *parser) whole() error {
	i := &p.config.Interface
	if i.MTU != 0 && i.MTU < 1280 {
		for _, a := range i.Addresses {
			if a.Addr().Is6() {
				return &Error{p.file, p.mtu, 1, fmt.Sprintf("MTU %d is below 1280, the least for IPv6, and the interface has the IPv6 address %s", i.MTU, a)}
			}
		}
	}
	public, err := i.PrivateKey.Public()
	if err != nil {
		return &Error{p.file, 1, 1, err.Error()}
	}
	if line := p.publics[public]; line != 0 {
		return &Error{p.file, line, 1, "the peer's PublicKey is that of our own PrivateKey"}
	}
	return nil
}

// setting is one name of a section.
type setting struct {
	name   string
	repeat bool // may be given several times
	empty  bool // may have no value
	set    func(p *parser, at int, value string) error
}

func (p *parser) pair(at int, name string, valueAt int, value string) error {
	var table []setting
	switch p.section {
	case ours:
		table = interfaceSettings
	case peer:
		table = peerSettings
	case none:
		return p.fail(at, "the line comes before any section")
	}
	for _, s := range table {
		if !strings.EqualFold(s.name, name) {
			continue
		}
		if line := p.given[s.name]; line != 0 && !s.repeat {
			return p.fail(at, "%s was given in line %d already", s.name, line)
		}
		if value == "" && !s.empty {
			return p.fail(valueAt, "%s has no value", s.name)
		}
		p.given[s.name] = p.line
		return s.set(p, valueAt, value)
	}
	return p.fail(at, "%s", unknown(name, p.section))
}

// unknown names what is not known, unless it could be a key whose own name is
// missing.
func unknown(name string, in section) string {
	where, other, table := "[Interface]", "[Peer]", peerSettings
	if in == peer {
		where, other, table = other, where, interfaceSettings
	}
	for _, s := range table {
		if strings.EqualFold(s.name, name) {
			return fmt.Sprintf("%s belongs in %s, not in %s", s.name, other, where)
		}
	}
	if len(name) > 24 {
		return where + " has no such name"
	}
	return fmt.Sprintf("%s has no name %q", where, name)
}

// list calls f for each item of a value with commas.
func (p *parser) list(at int, value string, f func(at int, item string) error) error {
	for {
		item, rest, more := strings.Cut(value, ",")
		itemAt, trimmed := trim(item, at)
		if trimmed == "" {
			return p.fail(itemAt, "an item of the list is empty")
		}
		if err := f(itemAt, trimmed); err != nil {
			return err
		}
		if !more {
			return nil
		}
		at, value = at+len(item)+1, rest
	}
}

// prefix reads an address with or without its length.
func prefix(s string) (netip.Prefix, string) {
	addr, length, has := strings.Cut(s, "/")
	a, err := netip.ParseAddr(addr)
	switch {
	case err != nil:
		return netip.Prefix{}, "is no IP address"
	case a.Zone() != "":
		return netip.Prefix{}, "has a zone, which means nothing here"
	case a.Is4In6():
		return netip.Prefix{}, "is an IPv4 address in IPv6's clothes: write it as IPv4"
	}
	bits := a.BitLen()
	if has {
		if bits, err = number(length, a.BitLen()); err != nil {
			return netip.Prefix{}, fmt.Sprintf("has a prefix length that is not from 0 to %d", a.BitLen())
		}
	}
	return netip.PrefixFrom(a, bits), ""
}

func orName(value string) (endpoint.OrName, error) { return endpoint.ParseOrName(value + "/udp") }
