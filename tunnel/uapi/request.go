package uapi

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

const (
	// maxLine is more than three times the longest that has a meaning.
	maxLine = 256
	// maxLines of a request or answer: sixteen for each of the most peers.
	maxLines = 16 * engine.MaxPeers
)

var (
	// errRefused is a request that was read to its end and has no meaning.
	errRefused = errors.New("refuse a request")
	// errLost is one whose end cannot be found; nothing after it is read.
	errLost = errors.New("give a caller up")
)

// request is what a caller wants.
type request struct {
	get    bool
	change tunnel.Change
}

// readRequest reads one request. io.EOF means that there is none; any other
// error than errRefused ends the connection.
func readRequest(in *bufio.Reader) (request, error) {
	op, err := readLine(in)
	if err != nil {
		return request{}, err
	}
	var r request
	p := parser{change: &r.change}
	var wrong error
	switch op {
	case "get=1":
		r.get = true
	case "set=1":
	default:
		wrong = errors.New("line 1 is neither get=1 nor set=1")
	}
	for n := 2; n <= maxLines; n++ {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			// Half a request is none: what was to follow may be what matters.
			return request{}, io.ErrUnexpectedEOF
		}
		if err != nil {
			return request{}, err
		}
		if line == "" {
			if wrong != nil {
				return request{}, fmt.Errorf("%w: %w", errRefused, wrong)
			}
			return r, nil
		}
		switch {
		case wrong != nil:
		case r.get:
			wrong = errors.New("a get has no second line")
		default:
			if what := p.line(line); what != "" {
				wrong = fmt.Errorf("line %d: %s", n, what)
			}
		}
	}
	return request{}, fmt.Errorf("%w: a request has more than %d lines", errLost, maxLines)
}

// readLine reads a line without its end.
func readLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	switch {
	case err == nil:
		return string(bytes.TrimSuffix(line, []byte("\n"))), nil
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("%w: a line has more than %d bytes", errLost, maxLine)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return "", io.ErrUnexpectedEOF
	}
	return "", err
}

// parser turns the lines of a set into a change. What it says of a line repeats
// nothing of it: it may be a key.
type parser struct {
	change *tunnel.Change
	peer   *engine.PeerChange // whose lines these are; nil: the device's
}

func (p *parser) line(line string) (wrong string) {
	name, value, ok := strings.Cut(line, "=")
	if !ok {
		return "it is not name=value"
	}
	if name == "public_key" {
		return p.begin(value)
	}
	if p.peer == nil {
		return p.device(name, value)
	}
	return p.ofPeer(name, value)
}

func (p *parser) begin(value string) string {
	var k key.Public
	if !fromHex(value, (*[key.Size]byte)(&k)) || k.IsZero() {
		return "public_key is no key in hexadecimal"
	}
	p.change.Peers = append(p.change.Peers, engine.PeerChange{Public: k})
	p.peer = &p.change.Peers[len(p.change.Peers)-1]
	return ""
}

func (p *parser) device(name, value string) string {
	switch name {
	case "private_key":
		var raw [key.Size]byte
		defer clear(raw[:])
		if !fromHex(value, &raw) {
			return "private_key is no key in hexadecimal"
		}
		k := key.PrivateFrom(raw)
		p.change.Private = &k
	case "listen_port":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return "listen_port is not from 0 to 65535"
		}
		port := uint16(n)
		p.change.ListenPort = &port
	case "fwmark":
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return "fwmark is not from 0 to 4294967295"
		}
		mark := uint32(n)
		p.change.FwMark = &mark
	case "replace_peers":
		return isTrue(name, value, &p.change.ReplacePeers)
	default:
		return "a device has no such name, or it came after a peer's"
	}
	return ""
}

func (p *parser) ofPeer(name, value string) string {
	switch name {
	case "remove":
		return isTrue(name, value, &p.peer.Remove)
	case "update_only":
		return isTrue(name, value, &p.peer.UpdateOnly)
	case "preshared_key":
		var raw [key.Size]byte
		defer clear(raw[:])
		if !fromHex(value, &raw) {
			return "preshared_key is no key in hexadecimal"
		}
		k := key.PresharedFrom(raw)
		p.peer.Preshared = &k
	case "endpoint":
		a, err := netip.ParseAddrPort(value)
		if err != nil {
			return "endpoint is not address:port or [IPv6]:port"
		}
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		p.peer.Endpoint = &a
	case "persistent_keepalive_interval":
		n, err := strconv.ParseUint(value, 10, 16)
		if err != nil {
			return "persistent_keepalive_interval is not from 0 to 65535"
		}
		d := time.Duration(n) * time.Second
		p.peer.Keepalive = &d
	case "replace_allowed_ips":
		p.peer.Allowed = nil // what came before is replaced as well
		return isTrue(name, value, &p.peer.ReplaceAllowed)
	case "allowed_ip":
		rest, remove := strings.CutPrefix(value, "-")
		if !remove {
			rest = strings.TrimPrefix(value, "+")
		}
		a, err := netip.ParsePrefix(rest)
		if err != nil {
			return "allowed_ip is not address/length, with + or - before it or not"
		}
		p.peer.Allowed = append(p.peer.Allowed, engine.AllowedChange{Prefix: a.Masked(), Remove: remove})
	case "protocol_version":
		if value != "1" {
			return "protocol_version is not 1"
		}
	default:
		return "a peer has no such name"
	}
	return ""
}

func isTrue(name, value string, flag *bool) string {
	if value != "true" {
		return name + " is not true"
	}
	*flag = true
	return ""
}

// fromHex reads a key. On an error out may hold a part of it.
func fromHex(s string, out *[key.Size]byte) bool {
	if len(s) != 2*key.Size {
		return false
	}
	_, err := hex.Decode(out[:], []byte(s))
	return err == nil
}
