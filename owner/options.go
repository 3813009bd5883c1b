package owner

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// entry is OpenVPN's struct connection_entry: one remote and what goes with it.
type entry struct {
	remote
	localPort             string
	localAddr, localGiven bool // local, lport
	bind, bindGiven       bool
	socksHost, socksPort  string
	httpHost, httpPort    string
	inBlock               bool
}

// remote is what a remote line gives; "" and 0 are whatever the other options
// say. proto is the option's word, family is what it says of the address.
type remote struct {
	host, port, proto string
	family            int
}

// family returns 4, 6, or 0 for a protocol that names none.
func family(proto string) int {
	switch {
	case strings.Contains(proto, "4"):
		return 4
	case strings.Contains(proto, "6"):
		return 6
	}
	return 0
}

func (r remote) over(e entry) entry {
	e.host = r.host
	if r.port != "" {
		e.port = r.port
	}
	if r.proto != "" {
		e.proto = r.proto
	}
	if r.family != 0 {
		e.family = r.family
	}
	return e
}

// option takes one option with its words.
func (p *parser) option(words []string, at place, depth int) {
	if len(words) > 2 && words[0] == "setenv" && words[1] == "opt" {
		words = words[2:]
	}
	arg := func(n int) string {
		if n < len(words) {
			return words[n]
		}
		return ""
	}
	if p.connectionOption(words, arg) || p.now.inBlock {
		return
	}
	switch words[0] {
	case "config":
		if arg(1) != "" {
			p.file(arg(1), at, depth+1)
		}
	case "cd":
		// The working directory of the process is the one after a relative cd.
		if filepath.IsAbs(arg(1)) {
			p.cwd = arg(1)
		}
	case "user":
		p.set.User = arg(1)
	case "group":
		p.set.Group = arg(1)
	case "chroot":
		p.set.Chroot = arg(1)
	case "mark":
		n, err := strconv.ParseUint(arg(1), 10, 31) // atoi
		if err != nil {
			p.unknown(at, fmt.Errorf("mark: %w", err))
		}
		p.set.Mark = uint32(n)
	case "dev":
		p.set.Dev = arg(1)
	case "dev-type":
		p.set.DevType = arg(1)
	case "client", "pull":
		p.client = true
	case "persist-tun":
		p.set.PersistTun = true
	case "disable-dco":
		p.set.DisableDCO = true
	case "up":
		p.set.Up = arg(1)
	case "down":
		p.set.Down = arg(1)
	case "daemon":
		p.set.Daemon = true
	case "script-security":
		if n, err := strconv.Atoi(arg(1)); err == nil {
			p.set.Security = n
		}
	case "proto-force":
		p.force = arg(1)
	case "remote-random-hostname":
		p.unknown(at, errors.New("a random label is put before each remote's name"))
	case "management-query-remote", "management-query-proxy":
		p.unknown(at, errors.New("the management client chooses the remote or the proxy"))
	}
}

// connectionOption takes the options that may stand in a <connection> block.
func (p *parser) connectionOption(words []string, arg func(int) string) bool {
	switch words[0] {
	case "remote":
		r := remote{host: arg(1), port: arg(2), proto: arg(3), family: family(arg(3))}
		if p.now.inBlock {
			p.now = r.over(p.now)
		} else {
			p.remotes = append(p.remotes, r)
		}
	case "proto":
		p.now.proto, p.now.family = arg(1), family(arg(1))
	case "port":
		p.now.port, p.now.localPort = arg(1), arg(1)
	case "rport":
		p.now.port = arg(1)
	case "lport":
		p.now.localPort, p.now.localGiven = arg(1), true
	case "local":
		p.now.localAddr = true
	case "bind":
		p.now.bindGiven = true
	case "nobind":
		p.now.bind = false
	case "socks-proxy":
		p.now.socksHost, p.now.socksPort = arg(1), arg(2)
		if p.now.socksPort == "" {
			p.now.socksPort = "1080"
		}
	case "http-proxy":
		p.now.httpHost, p.now.httpPort = arg(1), arg(2)
	default:
		return false
	}
	return true
}

// connection takes a <connection> block: it begins with what the options before
// it say, and says nothing about those after it.
func (p *parser) connection(text string, at place, depth int) {
	if p.now.inBlock {
		return
	}
	outside := p.now
	p.now.inBlock = true
	p.text(text, at.file, depth)
	if p.now.host == "" {
		p.unknown(at, errors.New("<connection> without a remote"))
	} else {
		p.blocks = append(p.blocks, p.now)
	}
	p.now = outside
}

// finish makes the remotes: with a <connection> block the remote lines outside
// of one do not count; without, they take what all options together say.
func (p *parser) finish() {
	entries := p.blocks
	if len(entries) == 0 {
		for _, r := range p.remotes {
			entries = append(entries, r.over(p.now))
		}
	}
	for _, e := range entries {
		if r := p.makeRemote(e); p.force == "" || strings.HasPrefix(p.force, r.Proto) {
			p.set.Remotes = append(p.set.Remotes, r)
		}
	}
}

func (p *parser) makeRemote(e entry) Remote {
	r := Remote{Host: e.host, Proto: "udp", Family: e.family, Port: p.port("remote", e.port)}
	if strings.HasPrefix(e.proto, "tcp") {
		r.Proto = "tcp"
	}
	if e.httpHost != "" {
		r.Proxy = Proxy{Kind: "http", Host: e.httpHost, Port: p.port("http-proxy", e.httpPort)}
	}
	if e.socksHost != "" {
		r.Proxy = Proxy{Kind: "socks", Host: e.socksHost, Port: p.port("socks-proxy", e.socksPort)}
	}
	// OpenVPN's SOCKS knows IPv4 only, and forces it.
	if e.socksHost != "" && r.Family == 6 {
		r.Family = 4
	}
	// A client binds only where it was asked for: since 2.6 always, before that
	// with TCP or a SOCKS proxy.
	lazy := (p.client || r.Proto == "tcp" || e.socksHost != "") && !e.localAddr && !e.localGiven && !e.bindGiven
	if e.bind && !lazy {
		r.LocalPort = p.port("local", e.localPort)
	}
	return r
}

func (p *parser) port(what, text string) uint16 {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		p.unknown(place{}, fmt.Errorf("%s port: %w", what, err))
	}
	return uint16(n)
}
