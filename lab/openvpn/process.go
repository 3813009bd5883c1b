package openvpn

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vpnguard/vpnguard/lab"
	"github.com/vpnguard/vpnguard/lab/daemon"
)

// A Process is a running openvpn.
type Process struct{ *daemon.Process }

func start(ctx context.Context, l *lab.Lab, node *lab.Node, name, config string) (*Process, error) {
	file := filepath.Join(l.Dir, name+".conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("write the configuration of %q: %w", name, err)
	}
	p, err := daemon.Start(ctx, l, node, name, "openvpn", "--config", file)
	if err != nil {
		return nil, err
	}
	return &Process{p}, nil
}

// Completed is the line that openvpn logs when a tunnel is up, again after
// each restart.
const Completed = "Initialization Sequence Completed"

// WaitUp waits until the tunnel has come up for the n-th time.
func (p *Process) WaitUp(ctx context.Context, n int) error { return p.WaitLog(ctx, Completed, n) }
