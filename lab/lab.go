package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/vpnguard/vpnguard/lab/wire"
)

// Options of a laboratory. The zero value is the whole of it.
type Options struct {
	// Pcap, if not empty, is a file to which the capture is also written, in
	// pcap format, for reading with other tools.
	Pcap string
}

// A Lab is a running laboratory.
type Lab struct {
	Client, Gateway, Internet, Server *Node
	// Guest is nil until EnableGuest or EnableMacvlan.
	Guest *Node
	// Dir is below WorkDir, the same path in every node, and goes with the lab.
	Dir string

	ctx     context.Context
	cancel  context.CancelFunc
	capture *Capture
	tasks   []*exec.Cmd
	mu      sync.Mutex
	watches []*Capture
	stops   []func()
	close   sync.Once
}

// New builds a laboratory, with capture and responders running and the
// client's start-up chatter over. It lives until Close or until ctx ends.
// On error nothing remains.
func New(ctx context.Context, o Options) (_ *Lab, err error) {
	if err := requireInside(); err != nil {
		return nil, fmt.Errorf("build a laboratory: %w", err)
	}
	l := &Lab{}
	l.ctx, l.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if l.Dir, err = os.MkdirTemp(WorkDir, "lab-"); err != nil {
		return nil, fmt.Errorf("make the laboratory's directory: %w", err)
	}
	if err = os.Chmod(l.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("open the laboratory's directory: %w", err)
	}
	var g errgroup.Group
	for name, node := range map[string]**Node{"cl": &l.Client, "gw": &l.Gateway, "in": &l.Internet, "vp": &l.Server} {
		g.Go(func() (err error) {
			*node, err = startNode(name)
			return err
		})
	}
	if err = g.Wait(); err != nil {
		return nil, err
	}
	if err = l.cable(); err != nil {
		return nil, err
	}
	// The capture listens before the client's first frame.
	if l.capture, err = startCapture(l.ctx, l.Gateway, l.Client, wire.View{Interface: "lan0"}, o.Pcap); err != nil {
		return nil, err
	}
	if err = l.configure(); err != nil {
		return nil, err
	}
	for _, r := range []struct {
		node *Node
		arg  string
	}{{l.Internet, internetServices}, {l.Gateway, gatewayServices}} {
		cmd, err := startTask(r.node.role(l.ctx, 0, "respond", r.arg))
		if err != nil {
			return nil, fmt.Errorf("start responders in %q: %w", r.node.Name, err)
		}
		l.tasks = append(l.tasks, cmd)
	}
	// What a machine under load loses before anything is promised is no loss.
	for range 5 {
		if err = l.capture.forgetLost(); err != nil {
			return nil, err
		}
		if err = l.settle(); !errors.Is(err, ErrLost) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Capture is what sees every frame that comes out of the client's cable.
func (l *Lab) Capture() *Capture { return l.capture }

// Close ends everything that runs in the laboratory. It can be called again.
func (l *Lab) Close() {
	l.close.Do(func() {
		l.cancel()
		for _, cmd := range l.tasks {
			_ = cmd.Wait()
		}
		for _, stop := range l.stops {
			stop()
		}
		if l.capture != nil {
			l.capture.wait()
		}
		for _, c := range l.watches {
			c.wait()
		}
		for _, n := range []*Node{l.Client, l.Gateway, l.Internet, l.Server, l.Guest} {
			if n != nil {
				n.close()
			}
		}
		if l.Dir != "" {
			_ = os.RemoveAll(l.Dir)
		}
	})
}

// Task starts a registered role in a node that says "ready" on a line and ends
// with its input. It ends with stop, or with the laboratory.
func (l *Lab) Task(node *Node, role, arg string) (stop func(), err error) {
	cmd := node.role(l.ctx, 0, role, arg)
	in, err := cmd.StdinPipe()
	if err == nil {
		_, err = startTask(cmd)
	}
	if err != nil {
		return nil, fmt.Errorf("start %q in %q: %w", role, node.Name, err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			in.Close()
			_ = cmd.Wait()
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stops = append(l.stops, stop)
	return stop, nil
}

// startTask starts a role and returns when it says that it is ready.
func startTask(cmd *exec.Cmd) (*exec.Cmd, error) {
	cmd.Stderr = os.Stderr
	if cmd.Stdin == nil {
		if _, err := cmd.StdinPipe(); err != nil { // the role ends when it closes
			return nil, err
		}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line := make([]byte, len("ready\n"))
	if n, err := out.Read(line); string(line) != "ready\n" {
		_ = cmd.Process.Kill()
		return nil, errors.Join(fmt.Errorf("it said %q", line[:n]), err, cmd.Wait())
	}
	return cmd, nil
}
