package dns

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// command runs resolvconf, the one program of others that is run here. It gets
// nothing of our environment, which a VPN client made.
func (s System) command(input []byte, name string, args ...string) error {
	if s.run != nil {
		return s.run(input, name, args...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), programTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(input)
	cmd.WaitDelay = time.Second // what it started must not hold us
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("run %q: %w: %.200q", cmd.Args, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// programTime bounds a run: resolvconf itself waits 10 s for another one.
const programTime = 15 * time.Second
