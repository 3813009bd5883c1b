// Package daemon runs a program of a laboratory's node in the background and
// watches its log.
package daemon

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vpnguard/vpnguard/lab"
)

// A Process is a running program. It ends with the context it was started
// with, killed, so without its hooks; send SIGTERM first for a clean stop.
type Process struct {
	LogFile string

	name string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a program in a node. Its log is NAME.log in the laboratory's
// directory.
func Start(ctx context.Context, l *lab.Lab, node *lab.Node, name, program string, args ...string) (*Process, error) {
	return StartCommand(l, name, node.Command(ctx, program, args...))
}

// StartCommand is [Start] for a command that was prepared already.
func StartCommand(l *lab.Lab, name string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{LogFile: filepath.Join(l.Dir, name+".log"), name: name, cmd: cmd, done: make(chan struct{})}
	// Appended to, so that a restart in a test keeps the story.
	log, err := os.OpenFile(p.LogFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %q: %w", name, err)
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %q: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is the process id of the program itself.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends a signal to the program alone.
func (p *Process) Signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %q: %w", s, p.name, err)
	}
	return nil
}

// Log is what the program has said so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.LogFile)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// WaitLog waits until the log has text n times. It fails with the end of the
// log if the program ends first.
func (p *Process) WaitLog(ctx context.Context, text string, n int) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ended := false
		select {
		case <-p.done:
			ended = true
		default:
		}
		if strings.Count(p.Log(), text) >= n {
			return nil
		}
		if ended {
			return fmt.Errorf("wait for %q in the log of %q: it ended with %v:\n%s", text, p.name, p.cmd.ProcessState, p.Tail())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %q in the log of %q: %w:\n%s", text, p.name, ctx.Err(), p.Tail())
		case <-tick.C:
		}
	}
}

// Tail is the end of the log.
func (p *Process) Tail() string {
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end and returns the exit code, -1 if a signal ended it.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for the end of %q: %w", p.name, ctx.Err())
	}
}

// Stop sends SIGTERM and waits for the end.
func (p *Process) Stop(ctx context.Context) (int, error) {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	return p.Wait(ctx)
}
