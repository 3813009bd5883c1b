package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"

	"github.com/vpnguard/vpnguard/lab/probe"
	"github.com/vpnguard/vpnguard/lab/wire"
)

// talker is a role that is spoken with over its standard streams.
type talker struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	message bytes.Buffer
}

func (n *Node) talk(ctx context.Context, uid int, role string, order any) (*talker, error) {
	arg, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	t := &talker{cmd: n.role(ctx, uid, role, string(arg))}
	t.cmd.Stderr = &t.message
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.out = bufio.NewReader(out)
	return t, t.cmd.Start()
}

func (t *talker) hear(answer any) error {
	line, err := t.out.ReadBytes('\n')
	if err != nil {
		_ = t.cmd.Wait()
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(t.message.String()))
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(line, answer)
}

// A Stream is a running [probe.Stream].
type Stream struct {
	Nonce string
	t     *talker
}

// Stream starts a stream as uid in the node and returns when it sends. Its
// datagrams on the wire are counted by [wire.Numbers].
func (l *Lab) Stream(ctx context.Context, node *Node, uid int, s probe.Stream) (*Stream, error) {
	if s.Nonce == "" {
		s.Nonce = probe.NewNonce()
	}
	t, err := node.talk(ctx, uid, "stream", s)
	if err == nil {
		err = t.hear(nil) // "ready"
	}
	if err != nil {
		return nil, fmt.Errorf("start a stream to %q: %w", s.To, err)
	}
	return &Stream{s.Nonce, t}, nil
}

// Stop ends the stream and returns what it sent.
func (s *Stream) Stop() (probe.Count, error) {
	s.t.in.Close()
	return s.Wait()
}

// Wait waits until the stream has ended by itself.
func (s *Stream) Wait() (probe.Count, error) {
	var c probe.Count
	if err := s.t.hear(&c); err != nil {
		return c, fmt.Errorf("read a stream's count: %w", err)
	}
	return c, s.t.cmd.Wait()
}

// A Flow is an open connection of a program in a node.
type Flow struct {
	// Wire is how its packets look.
	Wire wire.Flow
	t    *talker
}

// Open opens a flow as uid in the node; it stays open until Close.
func (l *Lab) Open(ctx context.Context, node *Node, uid int, f probe.Flow) (*Flow, error) {
	t, err := node.talk(ctx, uid, "flow", f)
	var o probe.Opened
	if err == nil {
		err = t.hear(&o)
	}
	if err != nil {
		return nil, fmt.Errorf("open a flow to %q: %w", f.To, err)
	}
	return &Flow{o.Flow, t}, nil
}

// Send sends a nonce on the flow, and returns it with what the kernel said.
func (f *Flow) Send() (nonce string, sent probe.Send, err error) {
	nonce = probe.NewNonce()
	if _, err = fmt.Fprintln(f.t.in, nonce); err == nil {
		err = f.t.hear(&sent)
	}
	if err != nil {
		return nonce, sent, fmt.Errorf("send on an open flow: %w", err)
	}
	return nonce, sent, nil
}

// Close closes the flow, so that the kernel sends what is queued, and a FIN.
func (f *Flow) Close() error {
	f.t.in.Close()
	return f.t.cmd.Wait()
}
