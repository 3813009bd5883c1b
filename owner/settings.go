package owner

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Settings are those of an OpenVPN client's options that decide who sends its
// carrier, from where and to where. Options pushed by the server change none.
type Settings struct {
	User, Group string // dropped to after the start; "" for none
	Chroot      string
	Mark        uint32 // --mark; 0 is none
	Dev         string // "tun" lets the kernel choose a number
	DevType     string
	PersistTun  bool
	DisableDCO  bool
	// Up and Down are the hooks' commands as OpenVPN splits them, "" for none.
	Up, Down string
	Security int  // script-security; 0 unless given
	Daemon   bool // it leaves whoever started it
	Remotes  []Remote
	Files    []string  // that were read
	Unknown  []Unknown // why the rest may be incomplete
}

// Remote is one server in the order of the configuration.
type Remote struct {
	Host string // a name or an address, as written
	Port uint16 // 0 if it is not a number
	// Proto is udp or tcp, Family 4 or 6, or 0 for either.
	Proto  string
	Family int
	// LocalPort is 0 if the kernel chooses. Before 2.6 a UDP client without
	// nobind bound to the port option's value, or 1194; then 0 is not known.
	LocalPort uint16
	Proxy     Proxy
}

// Proxy is what the carrier is sent to in place of the server.
type Proxy struct {
	Kind string // "", socks or http
	Host string
	Port uint16
}

// Unknown is a part of the configuration that could not be read or understood.
type Unknown struct {
	File string // "" for the command line
	Line int    // from 1; 0 for the file as a whole
	Err  error
}

func (u Unknown) Error() string {
	switch {
	case u.File == "":
		return "command line: " + u.Err.Error()
	case u.Line == 0:
		return fmt.Sprintf("%q: %v", u.File, u.Err)
	}
	return fmt.Sprintf("%q line %d: %v", u.File, u.Line, u.Err)
}

func (u Unknown) Unwrap() error { return u.Err }

const (
	maxDepth = 10 // OpenVPN's own limit for config in config
	// Two includes in each of ten levels would be a thousand files.
	maxFiles = 64
)

// ParseOpenVPN returns what the command line args (with the program's name
// first) of an OpenVPN process and its configuration files say. Relative paths
// are below cwd; readFile is usually [os.ReadFile]. The rules are those of
// OpenVPN 2.6. What cannot be read or understood is listed in Unknown; an error
// is returned only if there is no command line.
func ParseOpenVPN(args []string, cwd string, readFile func(path string) ([]byte, error)) (Settings, error) {
	if len(args) < 2 {
		return Settings{}, errors.New("openvpn: no options on the command line")
	}
	p := parser{cwd: cwd, readFile: readFile, now: entry{remote: remote{port: "1194", proto: "udp"}, localPort: "1194", bind: true}}
	for _, words := range splitArgs(args[1:]) {
		p.option(words, place{}, 0)
	}
	p.finish()
	return p.set, nil
}

type place struct {
	file string
	line int
}

type parser struct {
	cwd      string
	readFile func(path string) ([]byte, error)
	set      Settings
	now      entry    // what the options read so far say of a connection
	remotes  []remote // outside of <connection>
	blocks   []entry  // of <connection>
	client   bool
	force    string // proto-force
	read     int    // files
}

func (p *parser) unknown(at place, err error) {
	p.set.Unknown = append(p.set.Unknown, Unknown{File: at.file, Line: at.line, Err: err})
}

func (p *parser) file(name string, at place, depth int) {
	path := name
	if !filepath.IsAbs(path) {
		if p.cwd == "" {
			p.unknown(at, fmt.Errorf("config %q: working directory is not known", name))
			return
		}
		path = filepath.Join(p.cwd, path)
	}
	switch {
	case name == "stdin":
		p.unknown(at, errors.New("configuration came from standard input"))
		return
	case depth > maxDepth || p.read >= maxFiles:
		p.unknown(at, fmt.Errorf("config %q: too many nested files", name))
		return
	}
	p.read++
	data, err := p.readFile(path)
	if err != nil {
		p.unknown(place{file: path}, err)
		return
	}
	p.set.Files = append(p.set.Files, path)
	p.text(strings.TrimPrefix(string(data), "\ufeff"), path, depth)
}

// text reads the options in a file, or in a <connection> block.
func (p *parser) text(text, file string, depth int) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		at := place{file: file, line: i + 1}
		words, err := splitLine(lines[i])
		if err != nil {
			p.unknown(at, err)
			continue
		}
		if len(words) == 0 {
			continue
		}
		if len(words) == 1 && strings.HasPrefix(words[0], "<") && strings.HasSuffix(words[0], ">") {
			tag := words[0][1 : len(words[0])-1]
			end := i + 1
			for end < len(lines) && !strings.HasPrefix(strings.TrimLeft(lines[end], " \t\v\f\r"), "</"+tag+">") {
				end++
			}
			if end == len(lines) {
				p.unknown(at, fmt.Errorf("<%s> is not closed", tag))
				return
			}
			if tag == "connection" {
				p.connection(strings.Join(lines[i+1:end], "\n"), at, depth)
			}
			i = end
			continue
		}
		if len(words[0]) > 2 {
			words[0] = strings.TrimPrefix(words[0], "--")
		}
		p.option(words, at, depth)
	}
}
