// Package wgconf reads the configuration format of wg and wg-quick, strictly:
// whatever it does not know, or could be meant in two ways, is an error that
// names line and column. It does no I/O.
package wgconf

import (
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"github.com/vpnguard/vpnguard/endpoint"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Config is a whole file.
type Config struct {
	Interface Interface
	Peers     []Peer
}

// Interface is our own end.
type Interface struct {
	PrivateKey key.Private
	ListenPort uint16         // 0: any
	FwMark     uint32         // 0: none
	Addresses  []netip.Prefix // with host bits; a plain address has its full length
	DNS        []netip.Addr
	Domains    []string // names among the DNS values: search domains
	MTU        int      // 576 to 65455, at least 1280 with IPv6 inside; 0: found out
	Table      Table
	SaveConfig bool
	Hooks      []Hook
}

// Peer is another end.
type Peer struct {
	PublicKey    key.Public
	PresharedKey key.Preshared
	AllowedIPs   []netip.Prefix // masked
	Endpoint     endpoint.OrName
	Keepalive    time.Duration // 0: off; at most 65535 s
	Line         int           // of its section
}

// Table says where routes for allowed addresses go. The zero value is "auto".
type Table struct {
	Off    bool
	Number uint32 // 0: auto
}

// Moment is when a hook runs.
type Moment uint8

// The moments of wg-quick.
const (
	PreUp Moment = iota + 1
	PostUp
	PreDown
	PostDown
)

// String returns the key's name.
func (m Moment) String() string {
	switch m {
	case PreUp:
		return "PreUp"
	case PostUp:
		return "PostUp"
	case PreDown:
		return "PreDown"
	case PostDown:
		return "PostDown"
	default:
		return "invalid"
	}
}

// Hook is a shell command of the file. Nothing runs it unless the user allows
// that by name: whoever wrote the file would run commands as root.
type Hook struct {
	When    Moment
	Command string
	Line    int
}

// Error is what is wrong at a place of a file. It never holds a key.
type Error struct {
	File         string
	Line, Column int // from 1, in characters
	What         string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.What)
}

// ModeWarning says what is wrong with the mode of a file that holds a private
// key; "" means nothing.
func ModeWarning(file string, mode fs.FileMode) string {
	var who []string
	if mode&0o070 != 0 {
		who = append(who, "its group")
	}
	if mode&0o007 != 0 {
		who = append(who, "every user")
	}
	if len(who) == 0 {
		return ""
	}
	return fmt.Sprintf("%q holds a private key and its mode %04o lets %s at it: chmod 600", file, mode.Perm(), strings.Join(who, " and "))
}
