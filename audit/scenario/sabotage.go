package scenario

import (
	"syscall"

	"github.com/vpnguard/vpnguard/audit/evidence"
)

// Faults that an order can ask for, so that tests can show that none of them
// ends in a pass.
const (
	FaultCapture = "capture" // the capture on the wire is dead
	FaultTunnel  = "tunnel"  // the tunnel is down
	FaultDrops   = "drops"   // frames are lost before the capture
	FaultProbe   = "probe"   // the probes' program is gone
)

func (b *bench) sabotage() {
	if b.phase != evidence.Guarded {
		return
	}
	switch b.order.Fault {
	case FaultCapture:
		_ = syscall.Kill(b.lab.Capture().PID(), syscall.SIGKILL)
	case FaultTunnel:
		_ = b.client.kill(b)
	case FaultDrops:
		// The other end of the cable is down while the client sends.
		_ = b.lab.Gateway.Script(b.ctx, "ip link set lan0 down\n")
		_, _ = b.lab.Client.Run(b.ctx, "ping", "-c1", "-W1", "192.168.1.1")
		_ = b.lab.Gateway.Script(b.ctx, "ip link set lan0 up\n")
	case FaultProbe:
		_ = b.lab.Client.Script(b.ctx, "mount -t tmpfs none /run/lab\n")
	}
}
