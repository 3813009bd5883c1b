// Package scenario runs a catalogue's attacks in a laboratory, once with the
// guard off and once with it on, and records what happened. It judges nothing.
//
// [Run] starts the laboratory as a copy of the calling program, which must call
// [Serve] for it; namespaces are made there and nowhere else.
package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vpnguard/vpnguard/audit/evidence"
	"github.com/vpnguard/vpnguard/lab"
)

// An Order says what to audit.
type Order struct {
	// Client is own, openvpn, openconnect, wireguard or command.
	Client  string
	Command string // of the client command
	// Guard is vpnguard, none, or a command for sh.
	Guard string
	// Profile is the text of the client's configuration; empty: the built-in one.
	Profile []byte
	// Only are ids, or ids with a variant after a slash; empty: all.
	Only   []string
	Repeat int
	Seed   uint64
	// Program is the vpnguard that guards; empty: the calling program itself.
	Program string
	// Ocserv is the path of OpenConnect's server, where it is not in PATH.
	Ocserv string
	// Fault breaks the laboratory on purpose, for tests of the audit itself.
	Fault string
}

// Check refuses what no laboratory could do.
func (o Order) Check() error {
	if o.Client == "command" && o.Command == "" {
		return errors.New("--client command: there is no --client-command")
	}
	if _, err := newClient(&o); err != nil {
		return err
	}
	_, err := o.profile()
	return err
}

// profile reads what is taken of the user's configuration, and tells it.
func (o Order) profile() (settings []string, err error) {
	if len(o.Profile) == 0 {
		return nil, nil
	}
	switch o.Client {
	case "openvpn":
		p, err := openvpnProfile(string(o.Profile))
		return p.settings(), err
	case "wireguard":
		i, peer, err := wireguardProfile(string(o.Profile))
		return append(i.settings(), peer.settings()...), err
	}
	return nil, fmt.Errorf("client %q takes no profile: openvpn and wireguard do", o.Client)
}

// A Report is what the laboratory says on its way, one field at a time.
type Report struct {
	// Doing is a line for people: which scenario runs.
	Doing string
	// Done and Total count runs.
	Done, Total int
	Case        *evidence.Case
	End         *End
}

// An End is the last report.
type End struct {
	Environment evidence.Environment
	Topology    evidence.Topology
	Client      evidence.Named
	Settings    []string // of the profile that are no secrets
	Interrupted string
}

// ErrBroken means that the laboratory ended without saying how.
var ErrBroken = errors.New("the laboratory ended before its end")

// Run runs the laboratory in namespaces of its own by starting this program
// with args, and tells each report. What was recorded before an error remains
// valid.
func Run(ctx context.Context, args []string, o Order, message io.Writer, tell func(Report)) error {
	toIn, in, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open a pipe: %w", err)
	}
	defer toIn.Close()
	fromOut, out, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open a pipe: %w", errors.Join(err, in.Close()))
	}
	defer fromOut.Close()
	read := make(chan error, 1)
	go func() { read <- decode(fromOut, tell) }()
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(json.NewEncoder(in).Encode(o), in.Close())
	}()
	err = lab.Inside(ctx, args, toIn, out, message)
	_ = out.Close()
	if err != nil {
		_ = fromOut.Close()
		<-read
		return err
	}
	return errors.Join(<-sent, <-read)
}

func decode(in io.Reader, tell func(Report)) error {
	d := json.NewDecoder(in)
	for {
		r, err := decodeReport(d)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%w: %w", ErrBroken, err)
		}
		tell(r)
		if r.End != nil {
			return nil
		}
	}
}

// Serve is the other end of [Run]: it reads the order and writes reports. Call
// it by [lab.Run], after [Roles].
func Serve(ctx context.Context, in io.Reader, out, message io.Writer) int {
	var o Order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		fmt.Fprintf(message, "audit: read the order: %v\n", err)
		return 1
	}
	e := json.NewEncoder(out)
	a, err := newAudit(ctx, o, func(r Report) error { return encodeReport(e, r) })
	if err == nil {
		err = a.run()
	}
	if err != nil {
		fmt.Fprintf(message, "audit: %v\n", err)
		return 1
	}
	return 0
}
