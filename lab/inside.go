package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrRefused means that the namespaces of a laboratory could not be made.
var ErrRefused = errors.New("no laboratory of namespaces can be made here")

// refused is how [Run] ends then.
const refused = 125

// Inside runs this program again with the arguments, of which it must make a
// call of [Run], and passes the standard streams. When ctx ends, so does all of
// the laboratory.
//
// The error is [ErrRefused] if the namespaces could not be made.
func Inside(ctx context.Context, args []string, in io.Reader, out io.Writer, message io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, io.MultiWriter(message, &said)
	// A laboratory in a laboratory is one of its own.
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "VPNGUARD_LAB_") && !strings.HasPrefix(e, "PATH=") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	// Ordinary users' paths often lack where nft and ip are.
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	cmd.SysProcAttr = dieWithParent(&unix.SysProcAttr{})
	// SIGTERM goes on to the first process inside, whose end ends the others.
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == refused {
		return fmt.Errorf("%w: %s", ErrRefused, strings.TrimSpace(said.String()))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("run the laboratory: %w", err)
	}
	return nil
}
