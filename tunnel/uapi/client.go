package uapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/tunnel"
	"github.com/vpnguard/vpnguard/tunnel/engine"
	"github.com/vpnguard/vpnguard/tunnel/key"
)

// Get asks a device, ours or another's, how it is. Name, MTU, features and
// drops are not told. Of the private key only its public key is kept, of
// preshared keys only that they are. A deadline is the caller's.
func Get(c io.ReadWriter) (tunnel.Status, error) {
	if _, err := io.WriteString(c, "get=1\n\n"); err != nil {
		return tunnel.Status{}, fmt.Errorf("ask the device: %w", err)
	}
	var a answer
	if err := a.read(bufio.NewReaderSize(c, maxLine)); err != nil {
		return tunnel.Status{}, fmt.Errorf("read the device's answer: %w", err)
	}
	return a.status, nil
}

// Set asks a device for a change. A device of ours makes all of it or nothing;
// another's may stop in the middle.
func Set(c io.ReadWriter, change tunnel.Change) error {
	text := appendSet(nil, change)
	defer clear(text) // it may hold keys
	if _, err := c.Write(text); err != nil {
		return fmt.Errorf("ask the device for a change: %w", err)
	}
	var a answer
	if err := a.read(bufio.NewReaderSize(c, maxLine)); err != nil {
		return fmt.Errorf("change the device: %w", err)
	}
	return nil
}

// answer is what a device told.
type answer struct {
	status tunnel.Status
	peer   *engine.PeerStatus
	sec    int64
}

// errAnswer is for what no device says.
var errAnswer = errors.New("it is not WireGuard's configuration protocol")

// read takes an answer up to its end.
func (a *answer) read(in *bufio.Reader) error {
	result, ended := 0, false
	for range maxLines {
		line, err := readLine(in)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if line == "" {
			switch {
			case !ended:
				return errAnswer
			case result != 0:
				return syscall.Errno(max(result, -result))
			}
			return nil
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return errAnswer
		}
		if name == "errno" {
			n, err := strconv.ParseInt(value, 10, 16)
			if err != nil {
				return errAnswer
			}
			result, ended = int(n), true
			continue
		}
		if !a.take(name, value) {
			return errAnswer
		}
	}
	return fmt.Errorf("more than %d lines: %w", maxLines, errAnswer)
}

// take reads one value. Names that it does not know are passed over: a device
// may be newer than this.
func (a *answer) take(name, value string) bool {
	if name == "public_key" {
		var p engine.PeerStatus
		if len(a.status.Peers) == engine.MaxPeers || !fromHex(value, (*[key.Size]byte)(&p.Public)) {
			return false
		}
		a.status.Peers = append(a.status.Peers, p)
		a.peer, a.sec = &a.status.Peers[len(a.status.Peers)-1], 0
		return true
	}
	if a.peer == nil {
		return a.device(name, value)
	}
	p := a.peer
	var n uint64
	var err error
	switch name {
	case "preshared_key":
		var raw [key.Size]byte
		ok := fromHex(value, &raw)
		p.Preshared = !key.PresharedFrom(raw).IsZero()
		clear(raw[:])
		return ok
	case "endpoint":
		p.Endpoint, err = netip.ParseAddrPort(value)
	case "allowed_ip":
		var prefix netip.Prefix
		prefix, err = netip.ParsePrefix(value)
		p.Allowed = append(p.Allowed, prefix)
	case "last_handshake_time_sec":
		a.sec, err = strconv.ParseInt(value, 10, 64)
		p.LastHandshake = moment(a.sec, 0)
	case "last_handshake_time_nsec":
		var nsec int64
		nsec, err = strconv.ParseInt(value, 10, 32)
		p.LastHandshake = moment(a.sec, nsec)
	case "rx_bytes":
		p.RxBytes, err = strconv.ParseUint(value, 10, 64)
	case "tx_bytes":
		p.TxBytes, err = strconv.ParseUint(value, 10, 64)
	case "persistent_keepalive_interval":
		n, err = strconv.ParseUint(value, 10, 16)
		p.Keepalive = time.Duration(n) * time.Second
	}
	return err == nil
}

func (a *answer) device(name, value string) bool {
	var n uint64
	var err error
	switch name {
	case "private_key":
		var raw [key.Size]byte
		defer clear(raw[:])
		if !fromHex(value, &raw) {
			return false
		}
		if k := key.PrivateFrom(raw); !k.IsZero() {
			a.status.Public, err = k.Public()
		}
	case "listen_port":
		n, err = strconv.ParseUint(value, 10, 16)
		a.status.ListenPort = uint16(n)
	case "fwmark":
		n, err = strconv.ParseUint(value, 10, 32)
		a.status.FwMark = uint32(n)
	}
	return err == nil
}

// moment of a handshake; zero: none yet.
func moment(sec, nsec int64) time.Time {
	if sec == 0 && nsec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, nsec)
}
