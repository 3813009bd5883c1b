package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Node is one machine of the laboratory: a network, mount and uts namespace
// held by a child process.
type Node struct {
	Name string

	through []string // what runs each command; see Through

	hold  *exec.Cmd
	alive io.Closer // closing it ends the holder
}

func startNode(name string) (*Node, error) {
	cmd := exec.Command(SelfExe)
	cmd.Env = roleEnv("node", name)
	cmd.Stderr = os.Stderr
	// No Pdeathsig: it follows the starting thread, which may end before the
	// process. The closed pipe and the pid namespace end the holder instead.
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWUTS}
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start node %q: %w", name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start node %q: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start node %q: %w", name, err)
	}
	n := &Node{Name: name, hold: cmd, alive: alive}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		n.close()
		return nil, fmt.Errorf("start node %q: holder said %q: %w", name, line, err)
	}
	return n, nil
}

func (n *Node) close() {
	n.alive.Close()
	_ = n.hold.Wait()
}

// PID is the holder's process id. /proc/PID/root is the node's file tree.
func (n *Node) PID() int { return n.hold.Process.Pid }

// Path is where the file path of the node is seen from the program.
func (n *Node) Path(path string) string {
	return fmt.Sprintf("/proc/%d/root%s", n.PID(), path)
}

// Through is the node with each of its commands run by a program, whose own
// arguments come first.
func (n *Node) Through(program ...string) *Node {
	other := *n
	other.through = program
	return &other
}

// Command prepares a command that runs in the node as root, with / as its
// working directory. It ends with ctx. The command replaces nsenter, so
// cmd.Process is the command itself.
func (n *Node) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	ns := fmt.Sprintf("/proc/%d/ns/", n.PID())
	all := append([]string{"--net=" + ns + "net", "--mount=" + ns + "mnt", "--uts=" + ns + "uts", "--"}, n.through...)
	all = append(append(all, name), args...)
	cmd := exec.CommandContext(ctx, "nsenter", all...)
	cmd.WaitDelay = 2 * time.Second // a grandchild that kept the output open must not hold us
	return cmd
}

// ErrSingleUID is the error of a command for another uid than root where the
// laboratory has only that one.
var ErrSingleUID = errors.New("only root exists in this laboratory")

// CommandAs is [Node.Command] for another uid, with the gid of the same number,
// no further groups and no capability.
func (n *Node) CommandAs(ctx context.Context, uid int, name string, args ...string) *exec.Cmd {
	if uid == 0 {
		return n.Command(ctx, name, args...)
	}
	id := strconv.Itoa(uid)
	cmd := n.Command(ctx, "setpriv", append([]string{"--reuid", id, "--regid", id, "--clear-groups", "--", name}, args...)...)
	if SingleUID() {
		cmd.Err = fmt.Errorf("run %q as uid %d: %w", name, uid, ErrSingleUID)
	}
	return cmd
}

// Run runs a command as root and returns its output, which is also in the error.
func (n *Node) Run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := n.Command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("run %q in %q: %w: %s", name+" "+strings.Join(args, " "), n.Name, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// Script runs a shell script as root; its first failing command ends it.
func (n *Node) Script(ctx context.Context, script string) error {
	cmd := n.Command(ctx, "sh", "-e")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("configure %q: %w: %s", n.Name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// role prepares a copy of this program that plays role in the node.
func (n *Node) role(ctx context.Context, uid int, role, arg string) *exec.Cmd {
	cmd := n.CommandAs(ctx, uid, SelfExe)
	cmd.Env = roleEnv(role, arg)
	return cmd
}

// Role prepares a copy of this program that plays a registered role in the node
// as root.
func (n *Node) Role(ctx context.Context, role, arg string) *exec.Cmd {
	return n.role(ctx, 0, role, arg)
}

func roleEnv(role, arg string) []string {
	// A program built with -race sleeps a second at its end unless told not to.
	return append(os.Environ(), envRole+"="+role, envArg+"="+arg, "GORACE=atexit_sleep_ms=0")
}
